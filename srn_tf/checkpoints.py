"""Checkpoints: one file with everything, that says what is in it.

A checkpoint is a NumPy .npz archive. Each array is checksummed, and nothing in it can run code.

    header                  JSON: {"format", "model", "network", ...whatever the writer adds}
    model/<path>            every variable of the network: model/srn/g_net/encoder/enc1_1/bias ...
    optimizer/<path>        every variable of the optimizer, in a training checkpoint

A run folder keeps its checkpoints in `checkpoints/step_<number>.npz`.
"""

import dataclasses
import json
import pathlib
import re
import zipfile
import zlib

import numpy as np

from srn_tf.config import ModelConfig
from srn_tf.files import atomic_file

_FORMAT = 1
_NAME = re.compile(r"step_(\d+)\.npz")


def variables_by_path(variables, prefix: str) -> dict:
    """The variables by their path below a prefix, the names they have in a checkpoint.

    Raises:
        ValueError: if two have the same path.
    """
    named = {f"{prefix}/{variable.path}": variable for variable in variables}
    if len(named) != len(variables):
        raise ValueError(f"{prefix}: two variables have the same path")
    return named


def save(path, model, header: dict, optimizer=None) -> None:
    """Writes a checkpoint, whole or not at all.

    Args:
        path: the file to write.
        model: a network of this package.
        header: what else to keep, as JSON can hold it.
        optimizer: a built Keras optimizer, to go on training.

    Raises:
        ValueError: if a variable is not finite: such a checkpoint is of no use.
    """
    variables = variables_by_path(model.variables, "model")
    if optimizer is not None:
        variables |= variables_by_path(optimizer.variables, "optimizer")
    arrays = {name: variable.numpy() for name, variable in variables.items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite; no checkpoint is written")
    header = {"format": _FORMAT, "network": dataclasses.asdict(model.config), **header}
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)


def read(path) -> tuple[dict, dict[str, np.ndarray]]:
    """Header and arrays of a checkpoint file.

    Raises:
        ValueError: if the file is damaged or something else.
        OSError: if it cannot be opened.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(str(arrays.pop("header")))
        found = header["format"]
    except (ValueError, KeyError, EOFError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: not a checkpoint of srn_tf") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: the checkpoint is damaged ({error})") from error
    if found != _FORMAT:
        raise ValueError(f"{path}: checkpoint format {found}; this version reads {_FORMAT}")
    return header, arrays


def assign(variables: dict, arrays: dict[str, np.ndarray], path) -> None:
    """Fills every variable from the array of its name; nothing may be left over on either side.

    Raises:
        ValueError: naming the variables that are missing, unexpected or of another shape. Then
            nothing was assigned.
    """
    problems = [f"missing {name}" for name in variables.keys() - arrays.keys()]
    problems += [f"unexpected {name}" for name in arrays.keys() - variables.keys()]
    problems += [
        f"{name} has shape {arrays[name].shape}, not {tuple(variables[name].shape)}"
        for name in variables.keys() & arrays.keys()
        if arrays[name].shape != tuple(variables[name].shape)
    ]
    if problems:
        raise ValueError("\n  ".join([f"{path}: does not fit the network", *sorted(problems)]))
    for name, variable in variables.items():
        variable.assign(arrays[name])


def load_model(path, dtype: str = "float32"):
    """The network of a checkpoint, with its weights.

    Args:
        path: a checkpoint file, or a run folder, whose newest checkpoint is taken.
        dtype: Keras dtype policy, such as "mixed_bfloat16".

    Raises:
        ValueError: if there is no checkpoint, or it is damaged or does not fit.
    """
    # Here, not above: the list of checkpoints can be had without starting Keras.
    from srn_tf.networks import create_model_from_config

    path = find(path)
    header, arrays = read(path)
    model = create_model_from_config(ModelConfig(**header["network"]), dtype=dtype)
    weights = {name: array for name, array in arrays.items() if name.startswith("model/")}
    assign(variables_by_path(model.variables, "model"), weights, path)
    return model


def path_of_step(run_dir, step: int) -> pathlib.Path:
    """Where a run keeps the checkpoint of a step."""
    return pathlib.Path(run_dir) / "checkpoints" / f"step_{step:08d}.npz"


def in_run(run_dir) -> list[pathlib.Path]:
    """The checkpoints of a run folder, oldest first."""
    paths = (pathlib.Path(run_dir) / "checkpoints").glob("step_*.npz")
    steps = [(int(match[1]), path) for path in paths if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(steps)]


def find(path) -> pathlib.Path:
    """The file of a checkpoint: the path itself, or the newest of a run folder.

    Raises:
        ValueError: if there is none.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        if not (paths := in_run(path)):
            raise ValueError(f"{path}: no checkpoint in this folder")
        return paths[-1]
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint; train one with srn-train --run_dir")
    return path
