#!/usr/bin/env bash
# Follows deploy/README.md in a Debian of its own, block by block as it stands there, under a systemd that runs as process 1 of a
# container, with a simulated Notion. Takes a few minutes and root; .ci/run does not call it.
#
#   .ci/install.sh [FOLDER]     FOLDER: a Debian that debootstrap made; without it one is made, and goes at the end
#
# What is not as the page says: this tree's own debug build stands in for `cargo build`, unless FOLDER has a build in
# /usr/local/src/suppressd/target; packages are fetched before the container starts, since it has no network; Notion and the host's
# public name are on the container's loopback; what only people can do in Notion the simulation does.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    printf '.ci/install.sh: %s\n' "$1" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail 'needs root'
if ! command -v debootstrap >/dev/null || ! command -v systemd-nspawn >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap systemd-container
fi
cargo build --quiet --locked --bin suppressd --example notion
built=${CARGO_TARGET_DIR:-target}/debug

work=$(mktemp -d)
container=
stop() {
    [ -z "$container" ] || kill -KILL "$container" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT
root=${1:-$work/root}
[ -e "$root/usr/bin/apt-get" ] || debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$root" >"$work/log" 2>&1 ||
    { tail "$work/log"; fail 'debootstrap'; }

# The packages that the page names; their services start with the container, or not at all.
printf '#!/bin/sh\nexit 101\n' | install -m 0755 /dev/stdin "$root/usr/sbin/policy-rc.d"
packages=$(sed -n 's/^apt-get install -y --no-install-recommends //p' deploy/README.md | tr '\n' ' ')
cp /etc/resolv.conf "$root/etc/resolv.conf"
# shellcheck disable=SC2086
chroot "$root" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"' - $packages \
    >"$work/log" 2>&1 || { tail "$work/log"; fail "cannot install $packages"; }
rm "$root/usr/sbin/policy-rc.d"
systemctl --root="$root" disable caddy >/dev/null 2>&1 || true

# An installer writes it; debootstrap does not.
[ -e "$root/etc/hosts" ] || printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"

source=$root/usr/local/src/suppressd
mkdir -p "$source/target/release" "$root/opt"
git ls-files -z | tar --null --files-from=- -c | tar -x -C "$source"
if [ -x "$source/target/debug/suppressd" ]; then
    echo 'the program was built in there'
    install -m 0755 "$source/target/debug/suppressd" "$source/target/release/suppressd"
else
    install -m 0755 "$built/suppressd" "$source/target/release/suppressd"
fi
install -m 0755 "$built/examples/notion" "$root/opt/notion"
printf '#!/bin/sh\nexec test -x target/release/suppressd\n' | install -m 0755 /dev/stdin "$root/opt/cargo"

python3 .ci/deploy/by_the_page.py "$built/suppressd" >"$root/opt/by-the-page"
chmod +x "$root/opt/by-the-page"
cat >"$root/etc/systemd/system/by-the-page.service" <<'UNIT'
[Service]
ExecStart=/bin/sh -c '/opt/by-the-page >/opt/log 2>&1; echo $? >/opt/status; systemctl poweroff'
Environment=HOME=/root PATH=/opt:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../by-the-page.service "$root/etc/systemd/system/multi-user.target.wants/by-the-page.service"
rm -f "$root/opt/log" "$root/opt/status"
systemd-nspawn --quiet --directory="$root" --boot --private-network --register=no --keep-unit --machine="suppressd-$$" \
    </dev/null >"$work/console" 2>&1 &
container=$!
for _ in $(seq 600); do
    kill -0 "$container" 2>/dev/null || break
    sleep 1
done
cat "$root/opt/log" || { tail "$work/console"; fail 'the container did not start'; }
[ "$(cat "$root/opt/status" 2>/dev/null)" = 0 ] || fail 'the page does not lead to a running service'
