#!/usr/bin/env bash
# Runs every program in examples/ against a cluster of its own making: two shards with a replica
# each, the library's schema and the example bank. An example finds it by SHARDCTL_CONFIG.
set -euo pipefail
cd "$(dirname "$0")/.."

shopt -s nullglob
examples=(examples/*.rs)
if [ ${#examples[@]} -eq 0 ]; then
    echo "no examples"
    exit 0
fi

cargo build --quiet --features cli --bin shardctl
cargo build --quiet --all-features --examples
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

dir=$(mktemp -d "${TMPDIR:-/tmp}/pgshard-examples.XXXXXX")
finish() {
    "$target/debug/shardctl" dev down --dir "$dir/cluster" >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap finish EXIT
# The servers' user must get through.
chmod 755 "$dir"
"$target/debug/shardctl" dev up --dir "$dir/cluster" --shards 2 --replicas 1
export SHARDCTL_CONFIG=$dir/cluster/shards.toml

for example in "${examples[@]}"; do
    name=$(basename "$example" .rs)
    echo "example $name"
    timeout 120 "$target/debug/examples/$name" || {
        echo "example $name failed"
        exit 1
    }
done
