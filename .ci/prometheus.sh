#!/usr/bin/env bash
# Has Prometheus itself try what deploy/ gives it: its configuration, the alerts with their tests, the dashboard's queries,
# and a running `demo`, whose figures it scrapes. Needs Python 3, and Debian's packages where there is no Prometheus.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
# What is not stopped ends by itself.
demo_max=10m
token=a-token-of-the-tests

work=$(mktemp -d)
demo=
prometheus=
stop() {
    [ -z "$prometheus" ] || kill "$prometheus" 2>/dev/null || true
    [ -z "$demo" ] || kill "$demo" 2>/dev/null || true
    [ -z "$prometheus" ] || wait "$prometheus" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT

fail() {
    printf '.ci/prometheus.sh: %s\n' "$1" >&2
    exit 1
}

# The programs of the package without its service, which would take a port of this machine.
get_prometheus() {
    command -v apt-get >/dev/null || fail 'no Prometheus, and no apt-get to get it'
    mkdir -p "$target/prometheus"
    (
        cd "$target/prometheus"
        apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }
        dpkg-deb --extract prometheus_*.deb .
        rm prometheus_*.deb
    ) || fail 'cannot get the package prometheus'
}

export PATH="$PATH:$PWD/$target/prometheus/usr/bin"
case $target in /*) PATH="$PATH:$target/prometheus/usr/bin" ;; esac
if ! command -v promtool >/dev/null || ! command -v prometheus >/dev/null; then get_prometheus; fi
promtool --version 2>&1 | head -n 1

promtool check rules deploy/prometheus/alerts.yml
promtool test rules deploy/prometheus/alerts_test.yml deploy/prometheus/alerts_days_test.yml

cargo build --quiet --locked
"$target/debug/suppressd" demo --for "$demo_max" --seed 7 --admin-token "$token" >"$work/demo.log" 2>&1 &
demo=$!
for _ in $(seq 300); do
    address=$(sed -nE 's|.* answers on http://([0-9.:]+) .*|\1|p' "$work/demo.log")
    [ -z "$address" ] || break
    kill -0 "$demo" 2>/dev/null || break
    sleep 0.1
done
[ -n "$address" ] || { cat "$work/demo.log"; fail 'the demo did not start'; }

# The configuration as it is, but for what only the place knows, and more often.
printf %s "$token" >"$work/token"
sed -e "s|/run/secrets/suppressd_admin_token|$work/token|" -e "s|suppressd:8081|$address|" -e 's|_interval: 15s|_interval: 1s|' \
    deploy/prometheus/prometheus.yml >"$work/prometheus.yml"
cp deploy/prometheus/alerts.yml "$work"
promtool check config "$work/prometheus.yml"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$port" \
    --log.level=warn >"$work/prometheus.log" 2>&1 &
prometheus=$!

python3 .ci/prometheus.py "http://$address" "$token" "http://127.0.0.1:$port" "$work" ||
    { tail -n 20 "$work/prometheus.log"; fail 'what Prometheus is given does not fit'; }

promtool check metrics <"$work/metrics" || fail 'the names or the help of the metrics are not as Prometheus wants them'
promtool check rules "$work/dashboard.yml" >/dev/null || fail 'a query of the dashboard cannot be read'

# It then finds out whether its cache is right.
kill -INT "$demo"
wait "$demo" || { tail -n 30 "$work/demo.log"; fail 'the cache of the demo is not right'; }
demo=
