"""Reads README.md, the pages of docs/ and deploy/, and the units: links lead somewhere, files that are named are there, and every command of
suppressd that they show is one, with options that it has."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

PROGRAM = sys.argv[1]
PAGES = [Path("README.md"), *sorted(Path("docs").glob("*.md")), *sorted(Path("deploy").glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"(?<![\w/.-])(?:deploy|\.ci|fixtures|src)/[\w./-]*\w")
OURS = {"suppressd", "suppressdctl", "/usr/local/bin/suppressd", "/usr/local/bin/suppressdctl"}
ENDS = {"|", "||", "&&", ";", ">", ">>", "<", "&", "2>&1", "#"}

broken = []


def anchors(page):
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.M):
        yield re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


def links(page):
    for target in LINK.findall(page.read_text()):
        if re.match(r"https?://|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        found = page.parent / file if file else page
        if not found.exists():
            broken.append(f"{page}: {target} leads nowhere")
        elif anchor and found.suffix == ".md" and anchor not in anchors(found):
            broken.append(f"{page}: {target}: there is no such heading")


def files(page):
    text = re.sub(r"https?://\S+", "", page.read_text())
    for name in set(NAMED.findall(text)):
        if not Path(name).exists():
            broken.append(f"{page}: there is no {name}")


def commands(path):
    text = path.read_text()
    if path.suffix == ".md":
        blocks = re.findall(r"^[ ]*```(?:sh|console|text)\n(.*?)^[ ]*```", text, re.M | re.S)
        shown = [line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
        return shown + inline
    if path.suffix == ".cron":
        return [line.split(None, 6)[6] for line in text.splitlines() if re.match(r"[*\d]", line)]
    if path.suffix == ".service":
        return re.findall(r"^Exec\w+=(.*)$", text, re.M)
    return re.findall(r"^#\s{2,}(suppressd.*)$", text, re.M)


def words(line):
    """Gives what stands behind the name of our program, where the line runs it."""
    try:
        line = shlex.split(line, comments=True)
    except ValueError:
        return
    for at, word in enumerate(line):
        behind_end = at == 0 or line[at - 1] in ENDS | {"sudo", "exec"} or re.match(r"[A-Z_]+=", line[at - 1])
        if word in OURS and (behind_end or line[at - 1] == "suppressd"):
            if at + 1 < len(line) and line[at + 1] in OURS:
                continue
            until = next((end for end in range(at + 1, len(line)) if line[end] in ENDS or line[end].startswith(">")), None)
            yield [word for word in line[at + 1 : until] if word != "…"]


checked = set()
for path in PAGES + sorted(Path("deploy").glob("*.service")) + [Path("deploy/suppressd.cron"), Path("deploy/suppressdctl")]:
    if path.suffix == ".md":
        links(path)
        files(path)
    for line in commands(path):
        for asked in words(line):
            if not asked or tuple(asked) in checked:
                continue
            checked.add(tuple(asked))
            asked = ["1" if word == "N" else word for word in asked]
            if "--version" in asked or "--help" in asked:
                continue
            ran = subprocess.run([PROGRAM, *asked, "--help"], capture_output=True, text=True)
            if ran.returncode != 0 or "Usage:" not in ran.stdout:
                told = ran.stderr.strip().splitlines()
                broken.append(f"{path}: suppressd {' '.join(asked)}: {told[0] if told else 'no such command'}")
if broken:
    sys.exit("\n".join(broken))
print(f"{len(PAGES)} pages and {len(checked)} commands")
