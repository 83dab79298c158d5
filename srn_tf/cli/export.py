"""srn-export: writes a trained network as a SavedModel."""

from absl import flags

from srn_tf.cli.command import (
    define_checkpoint_flags,
    define_device_flags,
    require,
    run,
    start_tensorflow,
)
from srn_tf.config import MODELS, PRECISIONS

SUMMARY = """writes a trained network as a TensorFlow SavedModel.

    srn-export --checkpoint runs/color --output_path color_saved_model
Its signature serving_default takes `image`, float32 [batch, height, width, channels] in [0, 1], of
any size, and returns `restored` of the same shape.
"""


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string(
        "output_path", None, "folder to write, which must not exist.", flag_values=values
    )
    define_checkpoint_flags(values, list(MODELS))
    flags.DEFINE_enum(
        "precision", "float32", list(PRECISIONS), "to compute in.", flag_values=values
    )
    define_device_flags(values)
    return values


def execute(values: flags.FlagValues) -> int:
    require(values, "output_path")
    start_tensorflow(values.gpu, values.threads)
    from srn_tf.checkpoints import load_model
    from srn_tf.export import export_saved_model

    model = load_model(values.checkpoint, PRECISIONS[values.precision], values.model)
    export_saved_model(model, values.output_path)
    print(f"SavedModel in {values.output_path}")
    return 0


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-export", SUMMARY, define_flags(), execute, argv)
