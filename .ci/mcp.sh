#!/usr/bin/env bash
# Asks the MCP server with a client that is not ours: the official Python SDK, in an environment of its own that goes
# again. Needs python3, and gets the SDK itself. Takes the built program, or builds it.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v python3 >/dev/null || { echo '.ci/mcp.sh: no python3' >&2; exit 1; }
cargo build --quiet --locked
program=$(cargo metadata --format-version 1 --no-deps --offline | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/suppressd

environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
python3 -m venv "$environment" 2>/dev/null || {
    # Debian keeps this apart.
    apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv
    python3 -m venv "$environment"
}
"$environment/bin/pip" install --quiet --disable-pip-version-check --requirement tests/doors/requirements.txt
"$environment/bin/python" tests/doors/mcp_client.py "$program" fixtures
