#!/usr/bin/env bash
# Installs what `make demo` and `make test` need and the machine lacks, asking nothing; where it
# cannot, it says what to install.
#
#   scripts/ensure-deps.sh demo    a C compiler, Rust, and some PostgreSQL
#   scripts/ensure-deps.sh test    also PostgreSQL from the system, pip for PostgreSQL 18, and the
#                                  programs of the real stacks: Patroni, etcd, PgBouncer, …
set -euo pipefail

purpose=${1:-test}
missing=()   # packages of Debian and Ubuntu
problems=()  # what to say where they cannot be installed

have() { command -v "$1" >/dev/null 2>&1; }

have_postgres() {
    [ -n "${PGSHARD_PG_BINDIR:-}" ] && return 0
    have initdb && return 0
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return 0
    have pg_config && [ -x "$(pg_config --bindir)/initdb" ]
}

have_pip() { have python3 && python3 -m pip --version >/dev/null 2>&1; }

# Linux only: the launcher relies on the kernel's parent-death signal and on /proc.
if [ "$(uname -s)" != Linux ]; then
    echo "The servers of the demo and the tests need Linux; run this in a Linux container." >&2
    exit 1
fi

if ! have cargo; then
    problems+=("Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml") or later: see https://rustup.rs")
fi
if ! have cc; then
    missing+=(gcc libc6-dev)
    problems+=("a C compiler named cc (one dependency, ring, compiles C)")
fi
if ! have_postgres && { [ "$purpose" = test ] || ! have_pip; }; then
    missing+=(postgresql)
    problems+=("PostgreSQL 14 or later with its server programs and contrib modules (PGSHARD_PG_BINDIR names their directory if they are not found)")
fi
if [ "$purpose" = test ] && ! have_pip; then
    missing+=(python3-pip)
    problems+=("Python 3 with pip (fetches PostgreSQL 18 for the second run of the tests)")
fi

# Without them their tests are skipped, and say so; with CI set, they fail.
stacks=()
if [ "$purpose" = test ]; then
    for program in patroni:patroni etcd:etcd-server etcdctl:etcd-client pgbouncer:pgbouncer \
        pgpool:pgpool2 haproxy:haproxy promtool:prometheus pgbackrest:pgbackrest; do
        PATH=$PATH:/usr/sbin have "${program%%:*}" || stacks+=("${program##*:}")
    done
    if [[ " ${stacks[*]} " == *" patroni "* ]]; then stacks+=(python3-etcd); fi
fi
if [ ${#stacks[@]} -gt 0 ]; then
    if ! have apt-get || [ -d /run/systemd/system ]; then
        # Where systemd runs, these packages would start services; that is not for a test to do.
        problems+=("for the tests of real stacks: ${stacks[*]} (or their equivalents; on a machine with systemd, disable their services)")
        if [ -z "${CI:-}" ] && [ ${#problems[@]} -eq 1 ]; then
            echo "WARNING: not installed, so that their tests are SKIPPED: ${stacks[*]}" >&2
            exit 0
        fi
    else
        missing+=("${stacks[@]}")
        problems+=("the programs of the real stacks: ${stacks[*]}")
    fi
fi

[ ${#problems[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi

give_up() {
    echo "$1 Please install:" >&2
    printf '  - %s\n' "${problems[@]}" >&2
    if [ ${#missing[@]} -gt 0 ] && have apt-get; then
        echo "On Debian and Ubuntu: apt-get install --no-install-recommends ${missing[*]}" >&2
    fi
    exit 1
}

have cargo || give_up "Rust is missing."
have apt-get || give_up "This is neither Debian nor Ubuntu."
if [ ${#as_root[@]} -gt 0 ] && ! "${as_root[@]}" true 2>/dev/null; then
    give_up "Packages are missing, and this user may not install them without a password."
fi

echo "Installing ${missing[*]}"
if [[ " ${missing[*]} " == *" postgresql "* ]]; then
    # The packages would make and start a cluster of their own, which nothing here uses.
    "${as_root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' |
        "${as_root[@]}" tee /etc/postgresql-common/createcluster.d/pgshard.conf >/dev/null
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 "$@"; }
if ! { apt update && apt install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    give_up "apt-get failed."
fi
