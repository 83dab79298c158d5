"""Keras' own files: `.keras`, and weights alone (`.weights.h5`), as networks save themselves.

Of a `.keras` file its configuration is read here, and must be that of a network of this package;
that network takes the weights. Whatever else such a file can name, layers and code alike, is
neither imported nor made: no less than Keras' safe mode refuses.
"""

import io
import json
import math
import pathlib
import zipfile

import numpy as np

from srn_tf import UserError
from srn_tf.checkpoints.places import HUB_CONFIG, HUB_WEIGHTS
from srn_tf.networks.configs import NetworkConfig, from_json, model_config, names_of

_ENDINGS = (".keras", ".weights.h5")
_STATE = "optimizer"  # what a compiled network keeps beside its own variables


def is_one(path) -> bool:
    """Whether a path names such a file."""
    return pathlib.Path(path).name.endswith(_ENDINGS)


def configuration(path, name: str | None = None) -> tuple[str, NetworkConfig]:
    """The model that a file holds, and its configuration, without Keras.

    Args:
        path: the file.
        name: the model it must be, or a variant of; needed for weights alone, unless they lie in a
            hub folder. By default the nearest model that there is.

    Raises:
        UserError: if it is damaged, of something else, or not of this model.
        OSError: if it cannot be opened.
    """
    path = pathlib.Path(path)
    with open(path, "rb") as file:
        try:
            stored = _stored(path, file)
        except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(f"{path}: not a network of srn_tf ({reason})") from error
    if stored is None:
        if name is None:
            raise UserError(f"{path}: holds weights alone; say of which model, with --model")
        return name, model_config(name)
    names = names_of(stored)
    if name not in (None, *names):
        raise UserError(f"{path}: holds a model {names[0]}, not {name}")
    return name or names[0], stored


def _stored(path: pathlib.Path, file) -> NetworkConfig | None:
    """The configuration in a .keras file, or beside weights in a hub folder; None for no such.

    Raises:
        Exception: of many kinds, for other content.
    """
    if path.suffix == ".keras":
        with zipfile.ZipFile(file) as archive:
            content = json.loads(archive.read("config.json"))
    elif path.name == HUB_WEIGHTS and (beside := path.with_name(HUB_CONFIG)).is_file():
        content = json.loads(beside.read_text(encoding="utf-8"))
    else:
        return None
    if not str(content["registered_name"]).startswith("srn_tf>"):
        raise UserError(f"it holds {content['registered_name'] or content['class_name']}")
    return from_json(content["config"]["config"])


def load(path, dtype: str, name: str | None) -> tuple:
    """Name of the model, and the model, as `load.load_model` takes them.

    Raises:
        UserError, OSError: as `configuration`, and if the weights do not fit or are not finite.
    """
    from srn_tf.networks.create import create_model_from_config

    name, config = configuration(path, name)
    try:
        stored = _count(pathlib.Path(path))
    except Exception as error:  # whatever h5py makes of a wrong byte
        raise UserError(f"{path}: the file is damaged ({_first_line(error)})") from error
    if stored < config.least_parameters:
        raise UserError(
            f"{path}: {name} has {config.least_parameters:,} parameters or more, and the file "
            f"{stored:,}"
        )
    model = create_model_from_config(config, dtype=dtype)
    if stored != model.count_params():
        raise UserError(
            f"{path}: {name} has {model.count_params():,} parameters, the file {stored:,}"
        )
    try:
        model.load_weights(path)
    except Exception as error:
        raise UserError(f"{path}: does not fit {name} ({_first_line(error)})") from error
    for variable in model.variables:
        if not np.isfinite(np.asarray(variable, np.float32)).all():
            raise UserError(f"{path}: {variable.path} holds numbers that are not finite")
    return name, model


def _count(path: pathlib.Path) -> int:
    """How many numbers a file holds, without those of an optimizer.

    Raises:
        UserError: if it says to hold more than fits into it.
        Exception: of many kinds, if it is damaged.
    """
    import h5py

    content = path.read_bytes()
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(HUB_WEIGHTS).file_size > len(content):
                raise UserError("it is compressed, which Keras never does")
            content = archive.read(HUB_WEIGHTS)
    sizes = []

    def add(where: str, item) -> None:
        if isinstance(item, h5py.Dataset) and where.split("/")[0] != _STATE:
            sizes.append(math.prod(item.shape))

    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(add)
    if 2 * sum(sizes) > len(content):
        raise UserError("it says to be larger than it is")
    return sum(sizes)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
