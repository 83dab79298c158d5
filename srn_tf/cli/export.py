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
All formats take `image`, float32 [batch, height, width, 3] in [0, 1], of any size, and return
`restored` of the same shape, not clipped; `hub` writes a folder that Keras, srn_tf and model hubs
read. The SavedModel has another signature, serving_bytes: from
`image_bytes`, a batch of encoded PNG or JPEG pictures, to `restored_bytes`, encoded PNG.
"""


def define_flags() -> flags.FlagValues:
    define = Flags()
    define.string("output_path", "folder (saved_model, openvino, hub) or file (.onnx, .tflite).")
    define.choice("format", EXPORT_FORMATS, "to write.", "saved_model")
    define.switch("overwrite", "replace an earlier export in --output_path.")
    define.checkpoint(MODELS)
    define.choice(
        "precision",
        PRECISIONS,
        "to compute in; the other formats than saved_model are written in float32 only.",
        "float32",
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
    require_gpu(values.gpu)
    from srn_tf.checkpoints import places

    # Where no program of ours deconvolves its pictures, a network has to do without.
    wanted = values.model or (None if values.checkpoint else places.ALONE)
    require_checkpoint(values.checkpoint, wanted)
    require_writable(os.path.dirname(os.path.abspath(values.output_path)))
    start_tensorflow(values.gpu, values.threads)
    from srn_tf.checkpoints.load import load
    from srn_tf.export import export, model_card

    precision = PRECISIONS[values.precision]
    name, model, origin = load(values.checkpoint, precision, wanted)
    export(
        model,
        values.output_path,
        values.format,
        model_card(name, model, origin),
        size if all(size) else None,
        values.overwrite,
    )
    say(f"{name}, {values.precision}, {values.format} in {values.output_path}")
    return 0


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-export", SUMMARY, define_flags(), execute, argv)
