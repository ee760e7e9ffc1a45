"""Takes the steps of deploy/Dockerfile by hand, each stage in an empty folder, since no container engine is at hand.

Done as they stand: every COPY, WORKDIR and ENV, and RUN in a folder that holds only what was copied. Three things are not
what an engine does: the base images are not fetched, so that the first stage uses this machine's compiler and certificates
and the second gets the libraries that the program is linked to; `cargo build --release` is done as `cargo check`, to see that
nothing is missing, and the program that is copied is the debug build of this tree; and what RUN does, it does as this
user outside of a container. The last stage is then started as the image would be: its user, environment and command, in a
root of its own, and asked by its own HEALTHCHECK."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

WORK, PROGRAM = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
HERE = Path.cwd()
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target")).resolve()


def instructions():
    text = "\n".join(line for line in Path("deploy/Dockerfile").read_text().splitlines() if not line.startswith("#"))
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            word, rest = line.split(None, 1)
            yield word, rest.strip()


class Stage:
    def __init__(self, name):
        self.root, self.folder, self.environment, self.said = WORK / name, "/", {}, {}
        self.root.mkdir(parents=True)

    def place(self, path):
        return self.root / os.path.join(self.folder, path).lstrip("/")

    def copy(self, rest, stages):
        words = shlex.split(rest)
        options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        from_stage = options.get("from")
        for source in sources:
            found = stages[from_stage].place(source) if from_stage else HERE / source
            assert found.exists(), f"COPY {rest}: there is no {source}"
            to = self.place(target)
            if found.is_dir():
                shutil.copytree(found, to, dirs_exist_ok=True)
            else:
                to = to / found.name if target.endswith("/") else to
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, to)
            if "chown" in options and os.getuid() == 0:
                user, group = map(int, options["chown"].split(":"))
                os.chown(to, user, group)

    def run(self, command):
        here = command.replace(" /", f" {self.root}/").replace("cargo build --release", "cargo check --quiet")
        environment = os.environ | self.environment | {"CARGO_TARGET_DIR": str(TARGET)}
        subprocess.run(["sh", "-euc", here], cwd=self.place("."), env=environment, check=True)
        if "cargo build" in command:
            built = self.place("target/release/suppressd")
            built.parent.mkdir(parents=True)
            shutil.copy2(PROGRAM, built)


def stages():
    made, stage = {}, None
    for word, rest in instructions():
        if word == "FROM":
            image, *name = re.split(r"\s+AS\s+", rest)
            stage = made.setdefault(name[0] if name else "last", Stage(name[0] if name else "last"))
            bring_base(stage, image)
        elif word == "WORKDIR":
            stage.folder = rest
            stage.place(".").mkdir(parents=True, exist_ok=True)
        elif word == "ENV":
            name, value = rest.split("=", 1)
            stage.environment[name] = value
        elif word == "COPY":
            stage.copy(rest, made)
        elif word == "RUN":
            stage.run(rest)
        else:
            assert word in {"USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}, f"what is {word}?"
            stage.said[word] = rest
    return made


def bring_base(stage, image):
    """Brings what we rely on in a base image."""
    if image.startswith("rust:"):
        wanted = re.search(r'channel = "(.*)"', Path("rust-toolchain.toml").read_text()).group(1)
        assert image.startswith(f"rust:{wanted}-"), f"{image} is not the toolchain {wanted}"
        certificates = Path("/etc/ssl/certs/ca-certificates.crt")
        if certificates.exists():
            brought = stage.root / str(certificates)[1:]
            brought.parent.mkdir(parents=True)
            shutil.copy2(certificates, brought)
    else:
        linked = subprocess.run(["ldd", PROGRAM], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+)", linked):
            brought = stage.root / library[1:]
            brought.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(library).resolve(), brought)
        for folder in ("tmp", "dev"):
            (stage.root / folder).mkdir()
        (stage.root / "tmp").chmod(0o1777)


def start(stage):
    """Starts it as the image would, and asks it by the HEALTHCHECK."""
    user, group = stage.said["USER"].split(":")
    command = json.loads(stage.said["ENTRYPOINT"]) + json.loads(stage.said["CMD"])
    check = json.loads(re.search(r"CMD (\[.*\])", stage.said["HEALTHCHECK"]).group(1))
    settings = {
        "NOTION_API_KEY": "ntn_example",
        "NOTION_DATABASE_ID": "3296958a-07b8-53ee-b6a8-a1cc71849e2b",
        # Nobody is there: that is no reason to be unhealthy.
        "NOTION_BASE_URL": "http://127.0.0.1:9",
        "SUPPRESSD_LISTEN": stage.environment["SUPPRESSD_LISTEN"].replace("0.0.0.0:8080", "127.0.0.1:18980"),
        "SUPPRESSD_ADMIN_LISTEN": "127.0.0.1:0",
    }
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"} | stage.environment | settings

    def run(words):
        program = stage.place(f"/usr/local/bin/{words[0]}").relative_to(stage.root)
        return subprocess.Popen(
            [shutil.which("chroot", path=os.environ["PATH"] + ":/usr/sbin"), f"--userspec={user}:{group}", f"--groups={group}", stage.root, f"/{program}", *words[1:]],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )

    serving = run(command)
    try:
        for _ in range(300):
            asked = run(check)
            said = asked.communicate()[0]
            if asked.returncode == 0:
                break
            assert serving.poll() is None, serving.communicate()[0]
            assert asked.returncode == 1, said
            time.sleep(0.1)
        else:
            raise AssertionError(f"it does not become healthy: {said}")
        database = stage.place(stage.environment["SUPPRESSD_DB_PATH"])
        assert database.exists() and database.stat().st_uid == int(user), "the database is not where the volume is"
    finally:
        serving.terminate()
        log = serving.communicate()[0]
    assert serving.returncode == 0, log
    print(f"the image, by hand: {' '.join(command)} as {user}, {said.strip()}, stopped with status 0")


made = stages()
if os.getuid() == 0:
    start(made["last"])
else:
    print("the image is not started: only root may change the root folder")
