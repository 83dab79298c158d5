"""Weights by name: those that come with this package, those it can fetch, and those of a hub.

`registry.json`, beside the weights, has for each name `file`, its `sha256`, the `licence` of the
weights, `scores` with the `data` they were measured on, and, for what is not in the package, a
`url`. Fetched files lie in a folder of the user's (`cache_folder`), and are checked each time.
"""

import functools
import hashlib
import http.client
import json
import os
import pathlib
import re
import urllib.request

from srn_tf import UserError
from srn_tf.atomic import atomic_file, atomic_folder
from srn_tf.checkpoints.places import FOLDER, HUB_CONFIG, HUB_WEIGHTS

HUB = "hf://"
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_SECONDS = 30  # without an answer


def cache_folder() -> pathlib.Path:
    """Where fetched files lie: SRN_TF_CACHE, or `srn_tf` in the system's folder for such."""
    if folder := os.environ.get("SRN_TF_CACHE"):
        return pathlib.Path(folder)
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "srn_tf"


@functools.cache
def registry() -> dict[str, dict]:
    """What is known of the weights that have a name."""
    return json.loads((FOLDER / "registry.json").read_text(encoding="utf-8"))


def known(sha256: str | None) -> dict:
    """The registry's entry of a file; empty for others."""
    return next((entry for entry in registry().values() if entry["sha256"] == sha256), {})


def locate(preset) -> pathlib.Path:
    """The checkpoint that a preset names, which is fetched where it must be.

    Args:
        preset: a name of the registry, `hf://user/name`, or a path, as `load.load_model` takes it.

    Raises:
        UserError: if there is no such preset, or it cannot be fetched.
    """
    preset = os.fspath(preset)
    if preset.startswith(HUB):
        return _of_hub(preset)
    if entry := registry().get(preset):
        shipped = FOLDER / entry["file"]
        return shipped if shipped.is_file() else _fetched(preset, entry)
    if not os.path.lexists(preset):
        names = ", ".join(registry())
        raise UserError(
            f"{preset}: no such preset, file or folder; there are {names} and {HUB}user/name"
        )
    return pathlib.Path(preset)


def _fetched(preset: str, entry: dict) -> pathlib.Path:
    path = cache_folder() / entry["file"]
    if not path.is_file() or _sha256(path.read_bytes()) != entry["sha256"]:
        content = _download(preset, entry["url"])
        if _sha256(content) != entry["sha256"]:
            raise UserError(f"{preset}: {entry['url']} is not the file it should be (its SHA-256)")
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)
    return path


def _of_hub(preset: str) -> pathlib.Path:
    name = preset.removeprefix(HUB)
    if not _HUB_NAME.fullmatch(name):
        raise UserError(f"{preset}: must be {HUB}user/name")
    folder = cache_folder() / "hub" / name
    if not folder.is_dir():
        host = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        files = {
            file: _download(preset, f"{host}/{name}/resolve/main/{file}")
            for file in (HUB_CONFIG, HUB_WEIGHTS)
        }
        with atomic_folder(folder) as temporary:
            for file, content in files.items():
                (temporary / file).write_bytes(content)
    return folder


def _download(preset: str, url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            return answer.read()
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{preset}: {url} cannot be fetched ({reason})") from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
