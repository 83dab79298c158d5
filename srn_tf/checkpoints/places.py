"""Where checkpoints lie: those that come with this package, those of a run, the newest.

A run folder keeps its checkpoints in `checkpoints/step_<number>.npz`, a hub folder, as `hub` writes
it, a network in `config.json` and `model.weights.h5`.
"""

import pathlib
import re

import filelock

from srn_tf import UserError
from srn_tf.networks.configs import MODELS

_HERE = pathlib.Path(__file__).parent.parent
# In an installed package, and in a clone of the repository.
_FOLDERS = (_HERE / "weights", _HERE.parent / "checkpoints")
FOLDER = next(filter(pathlib.Path.is_dir, _FOLDERS), _FOLDERS[0])
BEST = "chooser"  # the model whose weights are taken unless asked otherwise
ALONE = "fast"  # the best that needs nothing but the blurred picture
HUB_CONFIG, HUB_WEIGHTS = "config.json", "model.weights.h5"
LOCK = ".lock"
_NAME = re.compile(r"step_(\d+)\.npz")


def shipped(name: str | None = None) -> pathlib.Path:
    """The weights of a model that come with this package, by default of the best one.

    Raises:
        UserError: if there are none of this model.
    """
    path = FOLDER / f"{name or BEST}.npz"
    if not path.is_file():
        names = ", ".join(sorted(path.stem for path in FOLDER.glob("*.npz")))
        raise UserError(
            f"no weights of {name} come with srn_tf (of {names} they do): a checkpoint is needed"
        )
    return path


def path_of_step(run_dir, step: int) -> pathlib.Path:
    """Where a run keeps the checkpoint of a step."""
    return pathlib.Path(run_dir) / "checkpoints" / f"step_{step:08d}.npz"


def in_run(run_dir) -> list[pathlib.Path]:
    """The checkpoints of a run folder, oldest first."""
    paths = (pathlib.Path(run_dir) / "checkpoints").glob("step_*.npz")
    steps = [(int(match[1]), path) for path in paths if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(steps)]


def find(path) -> pathlib.Path:
    """The file of a checkpoint: the path itself, the newest of a run folder, or a hub folder's.

    Raises:
        UserError: if there is none.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        if (path / HUB_WEIGHTS).is_file():
            return path / HUB_WEIGHTS
        if not (paths := in_run(path)):
            raise UserError(f"{path}: no checkpoint in this folder")
        return paths[-1]
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; train one with srn-train --run_dir")
    return path


def name_to_begin_with(path, name: str) -> str | None:
    """The model that a checkpoint must be of, for one of this name to begin with its weights; None
    where that is to be seen: one with candidates may begin with one without. Weights alone
    (`.weights.h5`) do not say what they are of."""
    says = not str(path).endswith(".weights.h5")
    return None if says and MODELS[name].candidates else name


def lock(run_dir) -> filelock.FileLock:
    """Makes an existing run folder this process' alone, until the lock is released.

    The system takes it back from a process that is killed.

    Raises:
        UserError: if another process trains in it.
        OSError: if it cannot be written.
    """
    held = filelock.FileLock(pathlib.Path(run_dir, LOCK), blocking=False)
    try:
        held.acquire()
    except filelock.Timeout:
        raise UserError(f"{run_dir}: another process trains in this folder") from None
    return held


def require_new(run_dir) -> None:
    """Raises UserError if a folder holds a run already."""
    if pathlib.Path(run_dir, "config.json").exists() or in_run(run_dir):
        raise UserError(f"{run_dir}: holds a run already; add --resume, or choose another")
