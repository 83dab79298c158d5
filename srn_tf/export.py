"""Export: a trained network in the formats of other programs, which need nothing of this package,
and in a folder for a hub of Keras' models, which do.

Every other format has one contract. It takes `image`, float32 [batch, height, width, 3] in [0, 1],
of any size, and gives `restored` of the same shape, float32, not clipped. Padding and cropping are
inside. So is what makes a colour picture a batch of three for a network of one channel.
"""

import contextlib
import errno
import importlib
import json
import logging
import math
import os
import pathlib
import shutil
import sys
import warnings

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from srn_tf import UserError
from srn_tf.atomic import atomic_file, atomic_folder
from srn_tf.checkpoints import hub
from srn_tf.checkpoints.places import HUB_WEIGHTS
from srn_tf.networks.configs import to_json
from srn_tf.networks.create import restore
from srn_tf.options import EXPORT_FORMATS, PRECISIONS

# What Keras' exporter of a format imports. Where it is missing, the extra of that name brings it.
_NEEDED = {"onnx": "tf2onnx", "openvino": "openvino"}
# The file by which a folder is known to be an earlier export.
_MAIN_FILE = {"saved_model": "saved_model.pb", "openvino": "model.xml", "hub": HUB_WEIGHTS}

_ANY_SIZE = {"saved_model": "a SavedModel", "hub": "a hub's network"}


def export(
    model,
    output_path,
    format: str = "saved_model",
    card: dict | None = None,
    size: tuple[int, int] | None = None,
    overwrite: bool = False,
    calibration=None,
) -> None:
    """Writes a network, whole or not at all.

    Args:
        model: a network of this package; in float32 for all formats but saved_model.
        output_path: the folder to write for saved_model, openvino (`model.xml`, `model.bin`) and
            hub (see `checkpoints.hub`), the file for onnx (.onnx) and litert (.tflite).
        format: a key of `options.EXPORT_FORMATS`.
        card: what `model_card` gives, to lie in the `assets.extra` of a SavedModel; hub needs it.
        size: height and width to fix, and with them a batch of one; by default any. Not for
            saved_model and hub.
        overwrite: whether an earlier export may be replaced.
        calibration: list of pictures, float32 [height, width, 3] in [0, 1], to quantize by: kernels
            and what layers see become integers of 8 bits, of the ranges that these pictures give
            them. For openvino alone.

    Raises:
        UserError: if the target exists, or has another ending than the format's; if there is a
            calibration without pictures, or for another format; if the package
            that writes the format is missing; if the format cannot express the model, or the
            model needs more than a blurred picture.
    """
    output_path = pathlib.Path(output_path)
    if model.config.candidates:
        raise UserError(
            "a network that chooses among deconvolutions of a picture cannot be exported alone; "
            "test.py and Deblurrer run it"
        )
    if calibration is not None and format != "openvino":
        raise UserError(f"8-bit integers are written for openvino, not for {format}")
    if calibration is not None and not len(calibration):
        raise UserError("there are no pictures to calibrate by")
    _check_target(output_path, format, overwrite)
    _require_space(output_path, model)
    if size and format in _ANY_SIZE:
        raise UserError(f"{_ANY_SIZE[format]} takes any size; height and width cannot be fixed")
    if format == "saved_model":
        with atomic_folder(output_path, overwrite) as temporary, _system_errors(temporary):
            _write_saved_model(model, temporary, card)
        return
    if model.dtype_policy.name != "float32":
        raise UserError(
            f"{format} is written in float32 only, not {model.dtype_policy.name}; a lower "
            "precision is a setting of the program that runs it"
        )
    needed = [_NEEDED[format]] if format in _NEEDED else []
    for package in needed if calibration is None else [*needed, "nncf"]:
        try:
            importlib.import_module(package)
        except ImportError:
            raise UserError(
                f"{format} needs the package {package}: install srn-tf[{format}]"
            ) from None
    if format == "hub":
        with atomic_folder(output_path, overwrite) as temporary:
            hub.write(temporary, model, card)
    elif format == "openvino":
        with atomic_folder(output_path, overwrite) as temporary:
            path = temporary / _MAIN_FILE[format]
            if calibration is None:
                _convert(model, path, format, size)
            else:
                _convert(model, temporary / "float32.xml", format, None)
                _quantize(temporary / "float32.xml", path, calibration, size)
    else:
        with atomic_file(output_path) as temporary:
            _convert(model, temporary, format, size)


def model_card(name: str, model, origin: dict) -> dict:
    """What is in an export, as JSON can hold it.

    Args:
        name, model, origin: as `checkpoints.load.load` gives them; origin may be empty.
    """
    policy = model.dtype_policy.name
    precision = next((key for key, value in PRECISIONS.items() if value == policy), policy)
    return {
        "name": name,
        "configuration": to_json(model.config),
        "parameters": model.count_params(),
        "precision": precision,
        **({"scores": origin["scores"]} if "scores" in origin else {}),
        # No more: how it was trained names paths of the one who did.
        "checkpoint": {key: origin[key] for key in ("file", "sha256") if key in origin},
    }


def _check_target(path: pathlib.Path, format: str, overwrite: bool) -> None:
    """Raises UserError for a target that must not be written."""
    if format not in EXPORT_FORMATS:
        raise UserError(f"no format {format!r}; there are {', '.join(EXPORT_FORMATS)}")
    ending = EXPORT_FORMATS[format]
    if ending and path.suffix != ending:
        raise UserError(f"{path}: for {format} the name must end in {ending}")
    if not path.exists():
        return
    if not overwrite:
        raise UserError(f"{path}: exists already; choose another name or overwrite it")
    # A folder goes with all that is in it: only one that an export has made.
    if not (path if ending else path / _MAIN_FILE[format]).is_file():
        raise UserError(f"{path}: is not an export of {format}, and is not overwritten")


def _require_space(path: pathlib.Path, model) -> None:
    """Raises OSError if the weights alone do not fit on the disk."""
    place = path.absolute().parent
    while not place.exists():
        place = place.parent
    size = sum(math.prod(variable.shape) for variable in model.variables)
    if 4 * size > shutil.disk_usage(place).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextlib.contextmanager
def _system_errors(path: pathlib.Path):
    """What TensorFlow says of a full disk, in its own words, as the error of the system it was."""
    try:
        yield
    except tf.errors.OpError as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number), str(path)) from None
        raise


class Restorer(keras.Model):
    """A network with what belongs around it, as the exporters of Keras take it."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.built = True

    def call(self, image):
        if self.network.config.channels == 3:
            return {"restored": restore(self.network, image)}
        batch, height, width, channels = ops.shape(image)
        planes = ops.transpose(image, (3, 0, 1, 2))
        planes = ops.reshape(planes, (channels * batch, height, width, 1))
        planes = ops.reshape(restore(self.network, planes), (channels, batch, height, width))
        return {"restored": ops.transpose(planes, (1, 2, 3, 0))}


def _convert(model, path: pathlib.Path, format: str, size) -> None:
    """Writes one of the formats that Keras converts to.

    Raises:
        UserError: if the format cannot express the model.
    """
    shape = (1, *size, 3) if size else (None, None, None, 3)
    image = keras.InputSpec(shape=shape, dtype="float32", name="image")
    options = {}
    if format == "litert":
        # Without TensorFlow's own operations, which the interpreter does not have.
        options["target_spec"] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    try:
        with warnings.catch_warnings(), _system_errors(path):
            warnings.simplefilter("ignore", FutureWarning)  # of what Keras does to tf2onnx
            Restorer(model).export(
                str(path), format=format, verbose=False, input_signature=[image], **options
            )
    except (OSError, MemoryError):
        raise
    except Exception as error:  # each converter raises what it likes
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{format} cannot express this network today: {reason}") from error


def _quantize(source: pathlib.Path, path: pathlib.Path, pictures, size) -> None:
    """Writes OpenVINO's network of a file, which goes, with 8-bit integers in its convolutions."""
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    network = openvino.Core().read_model(source)
    # The range of a picture itself, which is added to the network's output, is known.
    ramp = np.broadcast_to(np.linspace(0, 1, 256, dtype=np.float32)[:, np.newaxis], (256, 256, 3))
    pictures = [*pictures, ramp]
    dataset = nncf.Dataset(pictures, lambda picture: picture[np.newaxis])
    # Not as symmetric as the weights: what comes out of a ReLU has one sign, the rest two.
    preset = nncf.QuantizationPreset.MIXED
    with contextlib.redirect_stdout(sys.stderr):  # its bars
        network = nncf.quantize(network, dataset, preset=preset, subset_size=len(pictures))
    if size:
        network.reshape((1, *size, 3))
    openvino.save_model(network, path)
    for file in (source, source.with_suffix(".bin")):
        file.unlink()


def _write_saved_model(model, folder: pathlib.Path, card: dict | None) -> None:
    restorer = Restorer(model)

    def restore_bytes(encoded):
        """From an encoded PNG or JPEG to an encoded PNG of 8 bits and three channels."""
        # The kernel of this operation reads PNG, too; WebP comes with a fourth axis. By default
        # JPEGs come out up to 12 grey levels away from what other programs decode.
        pixels = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
        pixels = tf.ensure_shape(pixels, (None, None, 3))
        image = tf.cast(pixels[tf.newaxis], tf.float32) / 255
        restored = tf.clip_by_value(restorer(image)["restored"][0], 0, 1)
        return tf.io.encode_png(tf.cast(tf.round(restored * 255), tf.uint8))

    def serving_bytes(image_bytes):
        # One after the other: pictures of a request may differ in size, and one takes all cores.
        restored = tf.map_fn(restore_bytes, image_bytes, parallel_iterations=1)
        return {"restored_bytes": restored}

    # It saves what its endpoints use. What it is told to track it would save a second time.
    archive = keras.export.ExportArchive()
    image = tf.TensorSpec((None, None, None, 3), tf.float32, name="image")
    archive.add_endpoint("serving_default", lambda image: restorer(image), [image])
    image_bytes = tf.TensorSpec((None,), tf.string, name="image_bytes")
    archive.add_endpoint("serving_bytes", serving_bytes, [image_bytes])
    archive.write_out(folder, verbose=False)
    if card:
        # Where TensorFlow keeps what it does not read itself.
        (folder / "assets.extra").mkdir()
        text = json.dumps(card, indent=2)
        (folder / "assets.extra" / "model_card.json").write_text(f"{text}\n", encoding="utf-8")
