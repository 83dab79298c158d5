"""The file of a checkpoint: one file with everything, that says what is in it.

A checkpoint is a NumPy .npz archive. Each array is checksummed, and nothing in it can run code.

    header                  JSON: {"format", "model", "network", ...whatever the writer adds}
    model/<path>            every variable of the network: model/srn/g_net/encoder/enc1_1/bias ...
    optimizer/<path>        every variable of the optimizer, in a training checkpoint
    training/<path>         the weights to go on training with, where model/ has their averages

Not Keras' own .keras or .weights.h5: one rule names the variables of network, optimizer and
averages alike, and what does not fit is said by name before anything is assigned.
"""

import json
import math
import zipfile

import numpy as np

from srn_tf import UserError
from srn_tf.atomic import atomic_file
from srn_tf.networks.configs import MODELS, from_json, to_json
from srn_tf.options import refuse

_FORMAT = 1


def variables_by_path(variables, prefix: str) -> dict:
    """The variables by their path below a prefix, the names they have in a checkpoint.

    Raises:
        UserError: if two have the same path.
    """
    named = {f"{prefix}/{variable.path}": variable for variable in variables}
    if len(named) != len(variables):
        raise UserError(f"{prefix}: two variables have the same path")
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
        UserError: if a variable is not finite, or not as float16: such a checkpoint is of no use.
    """
    variables = variables_by_path(model.variables, "model")
    arrays = {key: np.asarray(variable).astype(storage) for key, variable in variables.items()}
    arrays |= {key: np.asarray(variable) for key, variable in (state or {}).items()}
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise UserError(f"{key} is not finite; no checkpoint is written")
    fixed = {"format": _FORMAT, "model": name, "network": to_json(model.config)}
    header = fixed | (header or {})
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)


def read(path) -> tuple[dict, dict[str, np.ndarray]]:
    """Header (with `network` as a configuration) and arrays of a checkpoint file.

    Raises:
        UserError: if the file is damaged or something else.
        OSError: if it cannot be opened.
    """
    return _read(path, whole=True)


def read_header(path) -> dict:
    """The header alone, after all checks that need no array.

    Raises:
        UserError, OSError: as `read`.
    """
    return _read(path, whole=False)[0]


def _read(path, whole: bool):
    with open(path, "rb") as file:
        try:
            shapes = _shapes(file)
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                header = json.loads(str(archive["header"]))
                if header["format"] != _FORMAT:
                    raise UserError(f"format {header['format']}, this version reads {_FORMAT}")
                if header["model"] not in MODELS:
                    raise UserError(f"no model named {header['model']!r}")
                if type(header.get("step", 0)) is not int:
                    raise UserError(f"step must be a whole number, not {header['step']!r}")
                header["network"] = from_json(header["network"])
                _require_enough(shapes, header["network"])
                names = [name for name in archive.files if whole and name != "header"]
                arrays = {name: archive[name] for name in names}
        except (ValueError, KeyError, EOFError, AttributeError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else "empty"
            raise UserError(f"{path}: not a checkpoint of srn_tf ({reason})") from error
        except Exception as error:  # whatever parser a wrong byte has reached
            raise UserError(f"{path}: the checkpoint is damaged ({error})") from error
    return header, arrays


def _shapes(file) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays, from their headers.

    Raises:
        UserError: if one takes more than its place in the file, as what is compressed may.
    """
    shapes = {}
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            with archive.open(member) as array:
                version = np.lib.format.read_magic(array)
                read_array_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read_array_header(array)
            name = member.filename.removesuffix(".npy")
            if member.compress_type != zipfile.ZIP_STORED:
                raise UserError(f"{name} is compressed, which numpy.savez never does")
            if member.comment:  # a wrong length of it would hide the members behind
                raise UserError(f"{name} has a comment, which numpy.savez never writes")
            if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > member.file_size:
                raise UserError(f"{name} says to be larger than it is")
            shapes[name] = shape
    return shapes


def _require_enough(shapes, config) -> None:
    """Refuses a configuration of a larger network than the arrays are, before it is built."""
    stored = sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("model/"))
    if stored < config.least_parameters:
        raise UserError(
            f"its configuration has {config.least_parameters:,} parameters or more, its arrays "
            f"{stored:,}"
        )


def assign(variables: dict, arrays: dict[str, np.ndarray], path) -> None:
    """Fills every variable from the array of its name; nothing may be left over on either side.

    Raises:
        UserError: naming the variables that are missing, unexpected, of another shape or not
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
    refuse(f"{path}: does not fit the network", sorted(problems))
    for name, variable in variables.items():
        variable.assign(arrays[name])
