"""srn-export: writes a trained network in a format of other programs."""

import os

from absl import flags

from srn_tf import UserError
from srn_tf.atomic import require_writable
from srn_tf.cli.command import (
    Flags,
    require,
    require_checkpoint,
    require_gpu,
    run,
    say,
    start_tensorflow,
)
from srn_tf.networks.configs import MODELS
from srn_tf.options import EXPORT_FORMATS, PRECISIONS

SUMMARY = """writes a trained network for programs that do not have srn_tf.

    srn-export --checkpoint runs/color --output_path saved_model
    srn-export --checkpoint runs/color --format onnx --output_path deblur.onnx
    srn-export --checkpoint runs/color --format openvino --precision int8 \\
        --calibration_path photos --output_path deblur
All formats take `image`, float32 [batch, height, width, 3] in [0, 1], of any size, and return
`restored` of the same shape, not clipped; `hub` writes a folder that Keras, srn_tf and model hubs
read. The SavedModel has another signature, serving_bytes: from
`image_bytes`, a batch of encoded PNG or JPEG pictures, to `restored_bytes`, encoded PNG.
"""

_INT8 = "int8"
# Of the pictures to calibrate by: more do not change the ranges.
_CALIBRATION_PICTURES, _CALIBRATION_SIDE = 60, 256


def define_flags() -> flags.FlagValues:
    define = Flags()
    define.string("output_path", "folder (saved_model, openvino, hub) or file (.onnx, .tflite).")
    define.choice("format", EXPORT_FORMATS, "to write.", "saved_model")
    define.switch("overwrite", "replace an earlier export in --output_path.")
    define.checkpoint(MODELS)
    define.choice(
        "precision",
        (*PRECISIONS, _INT8),
        "to compute in; the other formats than saved_model are written in float32, openvino in "
        "int8, too.",
        "float32",
    )
    define.string(
        "calibration_path", "for int8: folder of some dozen pictures like those to be restored."
    )
    for side in ("height", "width"):
        define.integer(
            side,
            "of the only size of pictures that the export is to take, one at a time; not for "
            "saved_model and hub. Default: any.",
            low=1,
        )
    define.device()
    return define.values


def execute(values: flags.FlagValues) -> int:
    require(values, "output_path")
    size = (values.height, values.width)
    if None in size and any(size):
        raise UserError("--height and --width are needed together")
    if (values.precision == _INT8) != bool(values.calibration_path):
        raise UserError("--precision int8 and --calibration_path are needed together")
    require_gpu(values.gpu)
    from srn_tf.checkpoints import places

    # Where no program of ours deconvolves its pictures, a network has to do without.
    wanted = values.model or (None if values.checkpoint else places.ALONE)
    require_checkpoint(values.checkpoint, wanted)
    require_writable(os.path.dirname(os.path.abspath(values.output_path)))
    calibration = _middles(values.calibration_path) if values.calibration_path else None
    start_tensorflow(values.gpu, values.threads)
    from srn_tf.checkpoints.load import load
    from srn_tf.export import export, model_card

    name, model, origin = load(
        values.checkpoint, PRECISIONS.get(values.precision, "float32"), wanted
    )
    export(
        model,
        values.output_path,
        values.format,
        model_card(name, model, origin),
        size if all(size) else None,
        values.overwrite,
        calibration,
    )
    say(f"{name}, {values.precision}, {values.format} in {values.output_path}")
    return 0


def _middles(folder: str) -> list:
    """The middles of pictures of a folder, evenly over their names: float32 [height, width, 3] in
    [0, 1]."""
    import numpy as np

    from srn_tf.images.files import find_images
    from srn_tf.images.rgb import read_rgb

    paths = find_images(folder)
    middles = []
    for path in paths[:: -(-len(paths) // _CALIBRATION_PICTURES)]:
        picture = read_rgb(path)
        top, left = (max(0, side - _CALIBRATION_SIDE) // 2 for side in picture.shape[:2])
        middle = picture[top : top + _CALIBRATION_SIDE, left : left + _CALIBRATION_SIDE]
        middles.append(middle.astype(np.float32) / 255)
    return middles


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-export", SUMMARY, define_flags(), execute, argv)
