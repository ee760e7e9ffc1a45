#!/usr/bin/env bash
# Checks everything under deploy/ that a tool can check: the units, the image, the manifests, the proxies, the crontab line,
# and that the pages name files and commands that there are. Installs the tools where they are missing, and builds the
# program where it is not built. No container is started: the steps of the image are taken by hand in empty folders.
set -euo pipefail
cd "$(dirname "$0")/.."

# In tenths: systemd calls everything below 2.0 safe or nearly so.
exposure_max=19

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    printf '.ci/deploy.sh: %s\n' "$1" >&2
    exit 1
}

step() { printf -- '-- %s\n' "$1"; }

# Installs the packages whose programs are missing.
missing=()
for tool in systemd-analyze:systemd caddy:caddy nginx:nginx-light openssl:openssl curl:curl setpriv:util-linux; do
    PATH=$PATH:/usr/sbin command -v "${tool%%:*}" >/dev/null || missing+=("${tool#*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "install ${missing[*]}"
    apt-get update -qq
    # Their services are not to be started here.
    printf '#!/bin/sh\nexit 101\n' >"$work/policy-rc.d"
    [ -e /usr/sbin/policy-rc.d ] || { install -m 0755 "$work/policy-rc.d" /usr/sbin/policy-rc.d; ours=yes; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$work/apt.log" 2>&1 ||
        { tail -n 20 "$work/apt.log"; fail "cannot install ${missing[*]}"; }
    [ -z "${ours:-}" ] || rm /usr/sbin/policy-rc.d
fi
python3 -m venv "$work/venv" || fail 'no Python with venv'
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --requirement .ci/deploy/requirements.txt ||
    fail 'cannot install what .ci/deploy/requirements.txt names'
PATH=$work/venv/bin:$PATH:/usr/sbin

cargo build --quiet --locked
program=${CARGO_TARGET_DIR:-target}/debug/suppressd

step 'systemd units'
root=$work/root
mkdir -p "$root/etc/systemd/system" "$root/usr/lib/systemd" "$root/usr/local/bin" "$root/bin"
cp -r /usr/lib/systemd/system "$root/usr/lib/systemd/"
cp deploy/*.service deploy/*.timer "$root/etc/systemd/system/"
install -m 0755 "$program" "$root/usr/local/bin/suppressd"
cp /bin/sh "$root/bin/"
for unit in deploy/*.service deploy/*.timer; do
    # It only warns of a word that it does not know.
    systemd-analyze --root="$root" verify "$root/etc/systemd/system/$(basename "$unit")" >"$work/verify.log" 2>&1 ||
        { cat "$work/verify.log"; fail "$unit"; }
    [ ! -s "$work/verify.log" ] || { cat "$work/verify.log"; fail "$unit"; }
done
for unit in deploy/*.service; do
    systemd-analyze security --offline=true --no-pager --threshold="$exposure_max" "$unit" >"$work/security.log" 2>&1 ||
        { cat "$work/security.log"; fail "$unit is exposed by more than $exposure_max tenths"; }
    tail -n 1 "$work/security.log"
done
hardening() { sed -n '/^NoNewPrivileges/,/^SystemCallErrorNumber/p' "$1"; }
for unit in deploy/suppressd-*.service; do
    diff <(hardening deploy/suppressd.service) <(hardening "$unit") || fail "$unit is not hardened as suppressd.service is"
done

step 'scripts and the crontab line'
shellcheck .ci/run .ci/*.sh deploy/suppressdctl
python3 .ci/deploy/crontab.py deploy/suppressd.cron

step 'image, compose, Kubernetes'
hadolint deploy/Dockerfile
check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
kubernetes-validate --strict deploy/kubernetes/*.yaml >"$work/kubernetes.log" 2>&1 || { cat "$work/kubernetes.log"; fail 'Kubernetes'; }
python3 .ci/deploy/image.py "$work/image" "$program"

step 'proxies'
caddy fmt --diff deploy/Caddyfile >/dev/null || fail 'deploy/Caddyfile: run caddy fmt --overwrite'
caddy validate --adapter caddyfile --config deploy/Caddyfile >"$work/caddy.log" 2>&1 || { cat "$work/caddy.log"; fail 'deploy/Caddyfile'; }
python3 .ci/deploy/proxies.py "$work/proxies"

step 'pages'
python3 .ci/deploy/pages.py "$program"
