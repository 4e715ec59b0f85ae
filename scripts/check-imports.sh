#!/usr/bin/env bash
# Holds the direction of imports between the crate's modules, and keeps the pure ones pure.
#
#   scripts/check-imports.sh [DIR]     checks DIR (src)
#   scripts/check-imports.sh --test    checks that the check finds what it should
#
# A module imports from lower ranks, and from its own module. What a file's tests and comments
# say does not count.
set -euo pipefail

check() {
    local src=$1
    find "$src" -name '*.rs' -not -path "$src/bin/*" -not -path "$src/lib.rs" -print0 | sort -z |
        xargs -0 awk -v src="$src/" '
function rank(path) {
    if (path ~ /^id(\/|$)/) return 0
    if (path ~ /^(error|sqlstate|sql|routing|random)(\/|$)/) return 1
    if (path ~ /^topology(\/|$)/) return 1
    if (path ~ /^fanout\/merge/) return 1
    if (path ~ /^(config|observe|host)(\/|$)/) return 2
    if (path ~ /^pool(\/|$)/) return 3
    if (path ~ /^monitor(\/|$)/) return 4
    if (path ~ /^(client|direct)(\/|$)/) return 5
    if (path ~ /^(fanout|fdw|ops)(\/|$)/) return 6
    if (path ~ /^(load|reshard)(\/|$)/) return 6
    if (path ~ /^query(\/|$)/) return 7
    if (path ~ /^(local|fuzzing)(\/|$)/) return 8
    return -1
}
function pure(path) { return rank(path) <= 1 && path !~ /^random/ }
function complain(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; bad = 1 }
FNR == 1 {
    file = substr(FILENAME, length(src) + 1)
    sub(/\.rs$/, "", file)
    own = file; sub(/\/.*/, "", own)
    mine = rank(file)
    tests = 0
    if (mine < 0) complain("no rank for module " own "; give it one in scripts/check-imports.sh")
}
/^#\[cfg\(test\)\]/ { tests = 1 }
tests { next }
{
    line = $0
    sub(/^[ \t]*\/\/.*/, "", line); sub(/[ \t]\/\/ .*/, "", line)
    if (line ~ /crate::\{/)
        complain("one `use crate::module` a line, please: this check reads lines")
    rest = line
    while (match(rest, /crate::[a-z_]+(::[a-z_]+)?/)) {
        path = substr(rest, RSTART + 7, RLENGTH - 7)
        gsub(/::/, "/", path)
        top = path; sub(/\/.*/, "", top)
        theirs = rank(path)
        if (theirs < 0) theirs = rank(top)
        # The names re-exported by the crate itself are capitalised and do not match above.
        if (theirs > mine && !(top == own && !pure(file)))
            complain("`" own "` (rank " mine ") may not import `" path "` (rank " theirs ")")
        if (theirs == mine && top != own && mine >= 3)
            complain("`" own "` and `" top "` are of one rank and do not know each other")
        rest = substr(rest, RSTART + RLENGTH)
    }
    # Inside fanout, the pure files do not look at their siblings that do I/O.
    if (pure(file) && file ~ /^fanout\//)
        while (match(line, /super::[a-z_]+/)) {
            name = substr(line, RSTART + 7, RLENGTH - 7)
            if (name != "super" && split(file, parts, "/") == 2 && !pure(own "/" name))
                complain("`" file "` is pure and may not use `" own "/" name "`")
            line = substr(line, RSTART + RLENGTH)
        }
    if (pure(file) && $0 !~ /^[ \t]*\/\//) {
        if ($0 ~ /(^|[^_a-z])tokio::/) complain("`" file "` is pure: no tokio")
        if ($0 ~ /(Instant|SystemTime)::now/) complain("`" file "` is pure: the clock is an argument")
        if ($0 ~ /std::(fs|net|env|thread|process)(::|;)/) complain("`" file "` is pure: no I/O")
    }
}
END { exit bad }'
}

# Plants one violation at a time in a copy, and expects each to be found.
self_test() {
    local work failures=0
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # expanded now: the variable is local
    trap "rm -rf '$work'" EXIT
    plant() { # file, line to add at its top
        rm -rf "$work/src"
        cp -R src "$work/src"
        mkdir -p "$work/src/$(dirname "$1")"
        touch "$work/src/$1"
        printf '%s\n' "$2" | cat - "$work/src/$1" >"$work/new"
        mv "$work/new" "$work/src/$1"
    }
    expect() { # found|fine, file, line
        plant "$2" "$3"
        local verdict=fine
        (check "$work/src") >/dev/null || verdict=found
        if [ "$verdict" != "$1" ]; then
            echo "check-imports: $2 with \`$3\` should be $1 and is $verdict"
            failures=1
        fi
    }
    expect fine  id.rs 'use std::fmt;'
    expect found id.rs 'use crate::error::Error;'
    expect found routing/map.rs 'use crate::config::Config;'
    expect found routing/map.rs 'fn f() { tokio::spawn(async {}); }'
    expect found routing/map.rs 'fn f() { let _ = std::time::Instant::now(); }'
    expect found routing/map.rs 'use std::fs;'
    expect fine  routing/map.rs '// use crate::config::Config;'
    expect found config/model.rs 'use crate::pool::Pool;'
    expect found pool/planted.rs 'fn f() { crate::client::go() }'
    expect found topology/machine.rs 'use crate::pool::Lease;'
    expect fine  topology/machine.rs 'use super::facts::Facts;'
    expect found topology/machine.rs 'use crate::monitor::Shard;'
    expect found monitor/shell.rs 'use crate::client::Session;'
    expect found client/planted.rs 'use crate::fanout::Plan;'
    expect found fanout/merge.rs 'use super::scatter::Scatter;'
    expect found fdw/planted.rs 'use crate::ops::Install;'
    expect found ops/planted.rs 'use crate::local::LocalCluster;'
    expect found ops/planted.rs 'use crate::{client, local};'
    expect found novel/planted.rs 'use std::fmt;'
    return "$failures"
}

cd "$(dirname "$0")/.."
case ${1:-src} in
--test) self_test ;;
*) check "${1:-src}" ;;
esac
