"""Checkpoints: one file with everything, that says what is in it.

A checkpoint is a NumPy .npz archive. Each array is checksummed, and nothing in it can run code.

    header                  JSON: {"format", "model", "network", ...whatever the writer adds}
    model/<path>            every variable of the network: model/srn/g_net/encoder/enc1_1/bias ...
    optimizer/<path>        every variable of the optimizer, in a training checkpoint
    training/<path>         the weights to go on training with, where model/ has their averages

A run folder keeps its checkpoints in `checkpoints/step_<number>.npz`. The weights that come with
this package are one, too: `SHIPPED`.
"""

import dataclasses
import hashlib
import json
import pathlib
import re

import numpy as np

from srn_tf import tf1_import, torch_import
from srn_tf.files import atomic_file
from srn_tf.networks.configs import from_json, to_json

_HERE = pathlib.Path(__file__).parent
# In an installed package, and in a clone of the repository.
_FOLDERS = (_HERE / "weights", _HERE.parent / "checkpoints")
SHIPPED = next(filter(pathlib.Path.is_dir, _FOLDERS), _FOLDERS[0]) / "color_lstm_residual.npz"
# What weights may be stored in, whatever they are used in.
STORAGE = ("float32", "float16")
_FORMAT = 1
_SHOWN = 10  # of the problems of a file
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


def save(
    path,
    name: str,
    model,
    header: dict | None = None,
    state: dict | None = None,
    storage: str = "float32",
) -> None:
    """Writes a checkpoint, whole or not at all.

    Args:
        path: the file to write.
        name: of the model, a key of `srn_tf.MODELS`.
        model: a network of this package.
        header: what else to keep, as JSON can hold it.
        state: variables and arrays to keep beside those of the network, by name.
        storage: "float32", or "float16", which rounds the network's variables.

    Raises:
        ValueError: if a variable is not finite, or not as float16: such a checkpoint is of no use.
    """
    variables = variables_by_path(model.variables, "model")
    arrays = {key: np.asarray(variable).astype(storage) for key, variable in variables.items()}
    arrays |= {key: np.asarray(variable) for key, variable in (state or {}).items()}
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{key} is not finite; no checkpoint is written")
    fixed = {"format": _FORMAT, "model": name, "network": to_json(model.config)}
    header = fixed | (header or {})
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)


def read(path) -> tuple[dict, dict[str, np.ndarray]]:
    """Header (with `network` as a configuration) and arrays of a checkpoint file.

    Raises:
        ValueError: if the file is damaged or something else.
        OSError: if it cannot be opened.
    """
    with open(path, "rb") as file:
        return _read(path, file)


def _read(path, file):
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != _FORMAT:
            raise ValueError(f"format {header['format']}, this version reads {_FORMAT}")
        header["network"] = from_json(header["network"])
        header["model"] = str(header["model"])
    except (ValueError, KeyError, EOFError, AttributeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else "empty"
        raise ValueError(f"{path}: not a checkpoint of srn_tf ({reason})") from error
    except Exception as error:  # whatever parser a wrong byte has reached
        raise ValueError(f"{path}: the checkpoint is damaged ({error})") from error
    return header, arrays


def assign(variables: dict, arrays: dict[str, np.ndarray], path) -> None:
    """Fills every variable from the array of its name; nothing may be left over on either side.

    Raises:
        ValueError: naming the variables that are missing, unexpected, of another shape or not
            finite. Then nothing was assigned.
    """
    problems = [f"missing {name}" for name in variables.keys() - arrays.keys()]
    problems += [f"unexpected {name}" for name in arrays.keys() - variables.keys()]
    problems += [
        f"{name} holds numbers that are not finite"
        for name in variables.keys() & arrays.keys()
        if arrays[name].dtype.kind not in "fiu" or not np.isfinite(arrays[name]).all()
    ]
    problems += [
        f"{name} has shape {arrays[name].shape}, not {tuple(variables[name].shape)}"
        for name in variables.keys() & arrays.keys()
        if arrays[name].shape != tuple(variables[name].shape)
    ]
    if problems:
        rest = len(problems) - _SHOWN
        problems = [*sorted(problems)[:_SHOWN], *([f"and {rest} more"] if rest > 0 else [])]
        raise ValueError("\n  ".join([f"{path}: does not fit the network", *problems]))
    for name, variable in variables.items():
        variable.assign(arrays[name])


def load_model(path=None, dtype: str = "float32", name: str | None = None):
    """The network of a checkpoint, with its weights.

    Args:
        path: a checkpoint file; a run folder, whose newest checkpoint is taken; the prefix of a
            TensorFlow 1 checkpoint of the authors'; or a PyTorch file of Nah et al. By default the
            weights that come with this package.
        dtype: Keras dtype policy, such as "mixed_bfloat16".
        name: the model it must be; by default what the file says, or what fits it.

    Raises:
        ValueError: if there is no checkpoint, or it is damaged or does not fit.
    """
    return load(path, dtype, name)[1]


def load(path=None, dtype: str = "float32", name: str | None = None):
    """The same, with where it comes from.

    Args:
        path, dtype, name: as in `load_model`.

    Returns:
        The name of the model, the model, and a description of the file as JSON can hold it: its
        name and SHA-256, and the step of the training, or where it came from itself.

    Raises:
        ValueError: as `load_model`.
    """
    path = path or SHIPPED
    if found := _foreign(path):
        name, model = _load_foreign(*found, dtype, name)
        return name, model, _origin(found[1])
    # Here, not above: the checkpoints of a run can be listed without starting Keras.
    from srn_tf.networks.create import create_model_from_config

    path = find(path)
    header, arrays = read(path)
    if name is not None and name != header["model"]:
        raise ValueError(f"{path}: holds a model {header['model']}, not {name}")
    model = create_model_from_config(header["network"], dtype=dtype)
    weights = {key: array for key, array in arrays.items() if key.startswith("model/")}
    assign(variables_by_path(model.variables, "model"), weights, path)
    made = {key: header[key] for key in ("step", "origin") if key in header}
    return header["model"], model, _origin(path) | made


def initialize(model, path, name: str) -> None:
    """Gives a network the weights of a checkpoint.

    Args:
        model: of that name, built.
        path: as in `load_model`.
        name: of the model, a key of `srn_tf.MODELS`.

    Raises:
        ValueError: as `load_model`, and if the checkpoint's network is of another configuration.
    """
    other = load_model(path, name=name)
    for field in dataclasses.fields(model.config):
        theirs, ours = (getattr(net.config, field.name) for net in (other, model))
        if theirs != ours:
            raise ValueError(f"{path}: its {field.name} is {theirs}, not {ours}")
    weights = variables_by_path(other.variables, "model")
    arrays = {key: variable.numpy() for key, variable in weights.items()}
    assign(variables_by_path(model.variables, "model"), arrays, path)


def _load_foreign(source, path, dtype: str, name: str | None):
    """Name of the model, and the model, from the file of another program."""
    from srn_tf.networks.create import create_model

    arrays = source.read(path)

    def fitting() -> list[str]:
        """The models that have variables of just these names and shapes."""
        shapes = {stored: array.shape for stored, array in arrays.items()}
        models = {
            name: source.variables_by_stored_name(create_model(name)) for name in source.NAMES
        }
        return [
            name
            for name, variables in models.items()
            if shapes == {stored: tuple(variable.shape) for stored, variable in variables.items()}
        ]

    if name is None:
        if not (names := fitting()):
            raise ValueError(f"{path}: fits none of {', '.join(source.NAMES)}; name one to see why")
        (name,) = names
    if name not in source.NAMES:
        raise ValueError(f"{path}: such a file fits {', '.join(source.NAMES)}, not {name}")
    model = create_model(name, dtype=dtype)
    try:
        assign(source.variables_by_stored_name(model), arrays, path)
    except ValueError as error:
        if names := fitting():
            raise ValueError(f"{path}: holds the weights of {names[0]}, not of {name}") from error
        raise
    return name, model


def _foreign(path):
    """The module that reads the file of another program, and the file's path; None for our own."""
    for source in (tf1_import, torch_import):
        if found := source.find(path):
            return source, found
    return None


def _origin(path: pathlib.Path) -> dict[str, str]:
    """Name and SHA-256 of a file, or of the data of a TensorFlow checkpoint."""
    digest = hashlib.sha256()
    for part in [path] if path.is_file() else sorted(path.parent.glob(f"{path.name}.data-*")):
        digest.update(part.read_bytes())
    return {"file": path.name, "sha256": digest.hexdigest()}


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
