#!/usr/bin/env bash
# Fuzzes each target for a while, a minute unless the first argument says how many seconds: `.ci/fuzz.sh 60 keys page`.
# What is found lies in fuzz/artifacts/<target>; mend it, and move it to fuzz/found/<target>, where every test run sees it.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true

# Sanitizers are a nightly feature; this lets the toolchain of rust-toolchain.toml build them.
export RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0
cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz
if ! command -v c++ >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends g++
fi

seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
fuzz/seeds.sh "$seeds"
cargo fuzz build --release
[ $# -gt 0 ] || read -r -d '' -a targets < <(cargo fuzz list && printf '\0')
for target in "${@:-${targets[@]}}"; do
    echo "fuzzing $target for $seconds s"
    # The corpus grows in a folder of its own, and the seeds stay as they are; what was found before comes first.
    corpus="$seeds/corpus-$target" found="fuzz/found/$target"
    mkdir -p "$corpus" "$found"
    cargo fuzz run --release "$target" "$corpus" "$seeds/$target" "$found" -- -max_total_time="$seconds" -timeout=20 \
        -rss_limit_mb=2048 -max_len=16384 -dict="$seeds/dictionary" -verbosity=0 -print_final_stats=1
done
