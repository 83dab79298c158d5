"""Dockerfile and compose.yaml, where no Docker need run: rules for them, and the steps by hand."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from helpers import TESTS

from srn_tf.service.config import ServiceConfig

ROOT = TESTS.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions(text: str) -> list[tuple[str, str]]:
    """(NAME, arguments) of a Dockerfile, without comments and with lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in whole.splitlines() if line.strip()]


def problems(text: str) -> list[str]:
    """What is wrong with a Dockerfile, a line each."""
    found, stages, user = [], set(), "root"
    steps = instructions(text)
    names = [name for name, _ in steps]
    for name, arguments in steps:
        words = arguments.split()
        if name == "FROM":
            if words[0] not in stages and not re.search(r":\d+\.\d+\.\d+[\w.-]*$", words[0]):
                found.append(f"base is not pinned: {words[0]}")
            stages |= {words[-1]} if "AS" in words else set()
            user = "root"
        elif name == "ADD":
            found.append("ADD fetches and unpacks; COPY does not")
        elif name == "COPY" and not words[0].startswith("--from="):
            gone = [path for path in words[:-1] if not (ROOT / path).exists()]
            found += [f"not there to copy: {path}" for path in gone]
        elif name == "COPY" and words[0].removeprefix("--from=") not in stages:
            found.append(f"no such stage: {words[0]}")
        elif name == "RUN":
            if subprocess.run(["sh", "-n", "-c", arguments], capture_output=True).returncode:
                found.append(f"no shell can read: {arguments}")
            if "pip install" in arguments and "--no-cache-dir" not in arguments:
                found.append("pip leaves its cache in the image")
            if re.search(r"(curl|wget)[^|]*\|\s*(ba)?sh", arguments):
                found.append("runs what it fetches")
        elif name == "USER":
            user = arguments
        elif name in ("ENTRYPOINT", "CMD") and not arguments.startswith("["):
            found.append(f"{name} is run by a shell, which keeps SIGTERM to itself")
    if user.split(":")[0] in ("root", "0"):
        found.append("runs as root")
    found += [f"no {name}" for name in ("HEALTHCHECK", "ENTRYPOINT") if name not in names]
    return found


def test_the_dockerfile_keeps_the_rules():
    assert problems(DOCKERFILE) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            ":3.12.11-slim-bookworm AS build",
            ":latest AS build",
            "base is not pinned: python:latest",
        ),
        ("USER srn", "USER root", "runs as root"),
        ("USER srn\n", "", "runs as root"),
        ("COPY checkpoints", "COPY weights", "not there to copy: weights"),
        ("COPY checkpoints", "ADD checkpoints", "ADD fetches and unpacks; COPY does not"),
        ("--from=build", "--from=other", "no such stage: --from=other"),
        (" --no-cache-dir", "", "pip leaves its cache in the image"),
        ('["srn-serve", "--host", "0.0.0.0"]', "srn-serve", "ENTRYPOINT is run by a shell"),
        ("HEALTHCHECK", "LABEL", "no HEALTHCHECK"),
        ('".[${EXTRAS}]"', '".[${EXTRAS}]', "no shell can read"),
    ],
)
def test_what_breaks_a_rule_is_found(old, new, problem):
    assert old in DOCKERFILE
    assert any(problem in found for found in problems(DOCKERFILE.replace(old, new)))


def test_what_is_copied_is_not_ignored():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = [words.split() for name, words in instructions(DOCKERFILE) if name == "COPY"]
    assert {path for words in copied if words[0][0] != "-" for path in words[:-1]} == kept


def test_ports_grace_and_health_are_the_server_s():
    steps = dict(instructions(DOCKERFILE))
    port = ServiceConfig.port
    assert steps["EXPOSE"] == str(port)
    assert f"http://127.0.0.1:{port}/api/health" in steps["HEALTHCHECK"]
    assert json.loads(steps["ENTRYPOINT"])[0] == "srn-serve"
    for server in yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values():
        assert server["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert int(server["stop_grace_period"].removesuffix("s")) > ServiceConfig.grace
        assert server["read_only"]
        assert "/tmp" in server["tmpfs"][0]


@pytest.mark.long
def test_the_steps_of_the_build_give_a_server_with_its_weights(tmp_path):
    """Without what it depends on, which is here already."""
    place, target = tmp_path / "build", tmp_path / "srn"
    place.mkdir()
    for name, arguments in instructions(DOCKERFILE.split("\nFROM")[1]):
        if name == "COPY":
            *sources, _ = arguments.split()
            for source in sources:
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, place / source)
        elif name == "RUN":
            command = arguments.replace("/opt/srn", str(target)).replace(
                "python ", f"{sys.executable} "
            )
            environment = {**os.environ, "EXTRAS": "serve", "PIP_NO_DEPS": "1"}
            subprocess.run(["sh", "-ec", command], cwd=place, env=environment, check=True)
    (site,) = target.glob("lib/python*/site-packages")
    assert (site / "srn_tf/weights/color_lstm_residual.npz").is_file()
    assert (site / "srn_tf/service/page/index.html").is_file()
    assert (site / "srn_tf/evaluation/viewer.js").is_file()
    here = [path for path in sys.path if path.endswith("site-packages")]
    result = subprocess.run(
        [target / "bin" / "srn-serve", "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *here])},
        capture_output=True,
        text=True,
    )
    assert result.stdout.startswith("srn-serve "), result.stderr
