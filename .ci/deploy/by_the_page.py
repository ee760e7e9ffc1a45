"""Makes a shell script of the commands of deploy/README.md, in their order, with what people and Notion do in between."""

import re
import subprocess
import sys
from pathlib import Path

PROGRAM = sys.argv[1]
page = Path("deploy/README.md").read_text()

# Between the blocks: before a block that has such a line, and after it.
BEFORE = {
    "DATABASE=": None,
    "suppressdctl config check": r"""
sed -i "s|^base_url = .*|base_url = \"$NOTION_BASE_URL\"|" /usr/local/src/suppressd/deploy/suppressd.example.toml""",
    "suppressdctl handshake --show": r"""
test "$(curl -sk -o /dev/null -w '%{http_code}' "https://$NAME/webhooks/notion" -d x)" = 401
test "$(curl -sk -o /dev/null -w '%{http_code}' "https://$NAME/readyz")" = 404
notion handshake 'handshake: Some(200)'""",
    "suppressdctl events list": r"""
notion change ': Some(200)'""",
}
AFTER = {
    "systemctl enable --now suppressd": r"""
test "$(systemctl show --property=ActiveState --value suppressd)" = active
systemctl show --property=StatusText --value suppressd | grep 'serving: webhooks on 127.0.0.1:8080'
suppressd health
test "$(stat -c %U:%a /var/lib/suppressd/suppressd.db)" = suppressd:600
grep -q '^CapEff:.0*$' "/proc/$(systemctl show --property=MainPID --value suppressd)/status" """,
    "suppressdctl reconcile": r"""
suppressdctl sweeps | grep complete""",
    "suppressdctl events list": r"""
suppressdctl events list | grep 'page\.'
: 'it dies, it hangs: systemd starts it anew'
restarted() {
    for _ in $(seq 100); do
        test "$(systemctl show --property=NRestarts --value suppressd)" -ge "$1" &&
            test "$(systemctl show --property=ActiveState --value suppressd)" = active && return
        sleep 1
    done
    return 1
}
kill -KILL "$(systemctl show --property=MainPID --value suppressd)"
restarted 1
mkdir -p /etc/systemd/system/suppressd.service.d
printf '[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n' >/etc/systemd/system/suppressd.service.d/soon.conf
systemctl daemon-reload
systemctl restart suppressd
before=$(systemctl show --property=NRestarts --value suppressd)
sleep 10
test "$(systemctl show --property=NRestarts --value suppressd)" = "$before"
kill -STOP "$(systemctl show --property=MainPID --value suppressd)"
restarted $((before + 1))
journalctl --no-pager -u suppressd | grep 'Watchdog timeout'
rm -r /etc/systemd/system/suppressd.service.d
systemctl daemon-reload
systemctl restart suppressd
suppressdctl events list | grep -q 'page\.'""",
    "systemctl disable --now suppressd suppressd-backup.timer": r"""
! id suppressd 2>/dev/null
test -z "$(ls -d /etc/suppressd /var/lib/suppressd* /usr/local/bin/suppressd /usr/local/bin/suppressdctl 2>/dev/null || true)" """,
}

print(r"""#!/bin/bash
set -Eeuo pipefail
trap 'echo "failed: $BASH_COMMAND"; journalctl --no-pager --lines=60 --output=cat' ERR
coproc NOTION { exec /opt/notion http://127.0.0.1:8080/webhooks/notion; }
for _ in 1 2 3; do
    read -r line <&"${NOTION[0]}"
    declare "$line"
done
# Has the simulation do something, and waits until it says so.
notion() {
    echo "$1" >&"${NOTION[1]}"
    while read -r -t 60 line <&"${NOTION[0]}"; do
        echo "Notion: $line"
        case $line in *"$2") return ;; esac
    done
    return 1
}
""")


def known(command):
    return subprocess.run([PROGRAM, command, "--help"], capture_output=True).returncode == 0


def missing(block):
    commands = set(re.findall(r"suppressdctl (\w+)", block)) | ({"backup"} if "suppressd-backup" in block else set())
    if "systemctl reload suppressd" in block and "SignalKind::hangup" not in "".join(
        path.read_text() for path in Path("src").rglob("*.rs")
    ):
        commands.add("reload")
    return sorted(command for command in commands if not known(command))


left_out = 0
for block in re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S):
    lines = block.splitlines()
    find = lambda table: "".join(said for line, said in table.items() if said and any(at.startswith(line) for at in lines))
    if lacking := missing(block):
        # The last block takes away what others have brought.
        if "userdel suppressd" not in block:
            left_out += 1
            print(f"echo '## LEFT OUT, for want of {', '.join(lacking)}: {lines[0]}'")
            continue
        block = block.replace(" suppressd-backup.timer", "").replace(" /var/lib/suppressd-backups", "")
        block = re.sub(r"^rm .*suppressd-backup\.timer$", "", block, flags=re.M).replace(" /etc/systemd/system/suppressd-backup.service", "")
    for line in lines:
        print(f"echo {'## ' + line!r}" if "'" not in line else f"echo '## {line.split(chr(39))[0]}…'")
    print(find(BEFORE))
    if "DATABASE=" in block:
        print("DATABASE=$NOTION_DATABASE_ID NAME=localhost")
    elif "/dev/stdin" in block:
        print(block.rstrip() + ' <<<"$NOTION_API_KEY"')
    else:
        # 1 is that something asks for attention, as the page says of the webhook that is not there yet.
        print(re.sub(r"^(suppressdctl doctor)$", r"\1 || [ $? -eq 1 ]", block, flags=re.M))
    print(find(AFTER))
print(f"echo 'the page was followed to its end; {left_out} blocks were left out'")
sys.exit(0)
