#!/usr/bin/env bash
# Validates the OpenAPI document, and has requests made of it, by programs that are not ours: with and without a bearer
# token, against a running `demo`. Needs Python 3 with venv, and a package index.
set -euo pipefail
cd "$(dirname "$0")/.."

# The same requests each time; another seed makes others.
seed=${SEED:-20261122}
# As many requests for each operation, beside those that the schema alone gives.
examples=${EXAMPLES:-100}
# A demonstration that is not stopped ends by itself.
demo_max=10m

work=$(mktemp -d)
demo=
stop() {
    [ -z "$demo" ] || kill "$demo" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT

fail() {
    printf '.ci/openapi.sh: %s\n' "$1" >&2
    exit 1
}

python3 -m venv "$work/venv" || fail 'no Python with venv'
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --requirement .ci/openapi-requirements.txt ||
    fail 'cannot install what .ci/openapi-requirements.txt names'

cargo build --quiet --locked

# Starts a demonstration with the options that are given, and waits until it tells its address.
begin() {
    "${CARGO_TARGET_DIR:-target}/debug/suppressd" demo --for "$demo_max" --seed 7 "$@" >"$work/demo.log" 2>&1 &
    demo=$!
    for _ in $(seq 300); do
        address=$(sed -nE 's|.* answers on (http://[0-9.:]+) .*|\1|p' "$work/demo.log")
        [ -z "$address" ] || return 0
        kill -0 "$demo" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/demo.log"
    fail 'the demo did not start'
}

# Asks the private door for a path, with the bearer token if there is one.
ask() {
    "$work/venv/bin/python" - "$address$1" "${@:2}" <<'PYTHON'
import sys, urllib.request
url, *token = sys.argv[1:]
headers = {"Authorization": f"Bearer {token[0]}"} if token else {}
with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
    sys.stdout.write(answer.read().decode())
PYTHON
}

# Ends the demonstration, which then finds out whether its cache is right in spite of all that was asked of it.
end() {
    # The sweeps that were asked for come first.
    for _ in $(seq 60); do
        ask /v1/status "$@" | grep -q '"running_sweep":null' && break
        sleep 1
    done
    kill -INT "$demo"
    wait "$demo" || { tail -n 30 "$work/demo.log"; fail 'the cache of the demo is not right'; }
    demo=
}

# Validates the document, and has requests made of it.
try() {
    ask /openapi.json "$@" >"$work/openapi.json"
    "$work/venv/bin/openapi-spec-validator" --schema 3.1 "$work/openapi.json" || fail 'the document is not valid'
    headers=()
    [ $# -eq 0 ] || headers=(--header "Authorization: Bearer $1")
    echo "seed $seed, $examples examples for each operation, $# token"
    # It leaves files where it runs.
    (cd "$work" && venv/bin/st --config-file "$OLDPWD/.ci/schemathesis.toml" run "$work/openapi.json" --url "$address" "${headers[@]}" \
        --checks all --max-examples "$examples" --seed "$seed" --generation-database none --continue-on-failure \
        --request-timeout 70 --no-color) || fail 'requests are not answered as the document says'
}

begin
try
end
begin --admin-token a-token-of-the-tests
try a-token-of-the-tests
end a-token-of-the-tests
