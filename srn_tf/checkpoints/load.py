"""Networks from checkpoint files, ours and those of other programs."""

import dataclasses
import functools
import hashlib
import pathlib

from srn_tf import UserError
from srn_tf.checkpoints import keras_files, pytorch, tf1
from srn_tf.checkpoints.archive import assign, read, variables_by_path
from srn_tf.checkpoints.places import find, name_to_begin_with, shipped
from srn_tf.networks.create import create_model, create_model_from_config
from srn_tf.networks.srn import with_candidates


def load_model(path=None, dtype: str = "float32", name: str | None = None):
    """The network of a checkpoint, with its weights.

    Args:
        path: a checkpoint file; a run folder, whose newest checkpoint is taken; a hub folder;
            Keras' .keras, or .weights.h5 with `name`; the prefix of a TensorFlow 1 checkpoint of
            the authors'; or a PyTorch file of Nah et al. By default the weights of that name
            that come with this package, or the best of them.
        dtype: Keras dtype policy, such as "mixed_bfloat16".
        name: the model it must be; by default what the file says, or what fits it.

    Raises:
        UserError: if there is no checkpoint, or it is damaged or does not fit.
    """
    return load(path, dtype, name)[1]


def locate(path=None, name: str | None = None) -> pathlib.Path:
    """The file that `load_model` would read, or the prefix of a TensorFlow checkpoint.

    Raises:
        UserError: if there is none.
    """
    path = path or shipped(name)
    found = _foreign(path)
    return found[1] if found else find(path)


def stamp(path: pathlib.Path) -> tuple:
    """What tells the files of what `locate` gives from others, and from what they were before."""
    status = [part.stat() for part in _files(path)]
    return tuple((s.st_dev, s.st_ino, s.st_mtime_ns, s.st_size) for s in status)


def load(path=None, dtype: str = "float32", name: str | None = None):
    """The same, with where it comes from.

    Args:
        path, dtype, name: as in `load_model`.

    Returns:
        The name of the model, the model, and a description of the file as JSON can hold it: its
        name and SHA-256, and what else there is: the step of the training, its validation's
        scores, where it came from itself.

    Raises:
        UserError: as `load_model`.
    """
    path = path or shipped(name)
    if found := _foreign(path):
        name, model = _load_foreign(*found, dtype, name)
        return name, model, _origin(found[1])
    path = find(path)
    if keras_files.is_one(path):
        return *keras_files.load(path, dtype, name), _origin(path)
    header, arrays = read(path)
    if name is not None and name != header["model"]:
        raise UserError(f"{path}: holds a model {header['model']}, not {name}")
    model = create_model_from_config(header["network"], dtype=dtype)
    weights = {key: array for key, array in arrays.items() if key.startswith("model/")}
    assign(variables_by_path(model.variables, "model"), weights, path)
    made = {key: header[key] for key in ("step", "origin") if key in header}
    if scores := header.get("validation"):
        made["scores"] = {key: scores[key] for key in ("psnr", "ssim")}
    return header["model"], model, _origin(path) | made


def initialize(model, path, name: str) -> None:
    """Gives a network the weights of a checkpoint.

    Args:
        model: of that name, built.
        path: as in `load_model`; for a network with candidates also that of one without, which is
            the same else.
        name: of the model, a key of `srn_tf.MODELS`.

    Raises:
        UserError: as `load_model`, and if the checkpoint's network is of another configuration.
    """
    theirs, other, _ = load(path, name=name_to_begin_with(path, name))
    grows = theirs != name
    config = model.config
    expected = dataclasses.replace(config, candidates=0, hints=0) if grows else config
    if type(other.config) is not type(config):
        raise UserError(f"{path}: holds a model {theirs}, not {name}")
    for field in dataclasses.fields(expected):
        has, needs = (getattr(each, field.name) for each in (other.config, expected))
        if has != needs:
            raise UserError(f"{path}: its {field.name} is {has}, not {needs}")
    weights = variables_by_path(other.variables, "model")
    arrays = {key: variable.numpy() for key, variable in weights.items()}
    if grows:
        arrays = {key: with_candidates(key, array, config) for key, array in arrays.items()}
    assign(variables_by_path(model.variables, "model"), arrays, path)


def _load_foreign(source, path, dtype: str, name: str | None):
    """Name of the model, and the model, from the file of another program."""
    arrays = source.read(path)

    def fitting() -> list[str]:
        """The models that have variables of just these names and shapes."""
        shapes = {stored: array.shape for stored, array in arrays.items()}
        return [name for name in source.NAMES if shapes == _stored_shapes(source, name)]

    if name is None:
        if not (names := fitting()):
            raise UserError(f"{path}: fits none of {', '.join(source.NAMES)}; name one to see why")
        (name,) = names
    if name not in source.NAMES:
        raise UserError(f"{path}: such a file fits {', '.join(source.NAMES)}, not {name}")
    model = create_model(name, dtype=dtype)
    try:
        assign(source.variables_by_stored_name(model), arrays, path)
    except UserError as error:
        if names := fitting():
            raise UserError(f"{path}: holds the weights of {names[0]}, not of {name}") from error
        raise
    return name, model


@functools.cache
def _stored_shapes(source, name: str) -> dict[str, tuple]:
    """The shapes of a model's variables by the names in its authors' files."""
    variables = source.variables_by_stored_name(create_model(name))
    return {stored: tuple(variable.shape) for stored, variable in variables.items()}


def _foreign(path):
    """The module that reads the file of another program, and the file's path; None for our own."""
    for source in (tf1, pytorch):
        if found := source.find(path):
            return source, found
    return None


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    """A file itself, or the data of a TensorFlow checkpoint."""
    return [path] if path.is_file() else sorted(path.parent.glob(f"{path.name}.data-*"))


def _origin(path: pathlib.Path) -> dict[str, str]:
    """Name and SHA-256 of a file, or of the data of a TensorFlow checkpoint."""
    digest = hashlib.sha256()
    for part in _files(path):
        digest.update(part.read_bytes())
    return {"file": path.name, "sha256": digest.hexdigest()}
