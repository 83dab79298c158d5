"""srn-import: makes one file of this project from weights, its own or the authors'."""

import os
import pathlib

from absl import flags

from srn_tf import UserError
from srn_tf.atomic import require_writable
from srn_tf.cli.command import (
    Flags,
    require,
    require_checkpoint,
    run,
    say,
    start_jax,
    start_tensorflow,
)
from srn_tf.networks.configs import MODELS
from srn_tf.options import STORAGE

SUMMARY = """makes one small file from a checkpoint of the authors' programs or of a run.

    srn-import --checkpoint deblur.model-523000 --output color.npz
    srn-import --checkpoint runs/color --storage float16 --output color.npz
The file holds weights, configuration and where they came from, but nothing to go on training with;
srn-test, srn-export and srn_tf.load_model open it.
"""


def define_flags() -> flags.FlagValues:
    define = Flags()
    define.string(
        "checkpoint",
        "prefix of a TensorFlow 1 checkpoint (lstm, gray, color, pss_nsc), PyTorch file (mscnn), "
        "checkpoint file (.npz, .keras, .weights.h5), run folder or hub folder.",
    )
    define.string("output", "file to write, ending in .npz.")
    define.choice("model", MODELS, "the model it must be; default: what fits.")
    define.choice("storage", STORAGE, "numbers to store; float16 takes half the room.", "float32")
    define.device()
    return define.values


def execute(values: flags.FlagValues) -> int:
    require(values, "checkpoint", "output")
    output = pathlib.Path(values.output)
    if output.suffix != ".npz":
        raise UserError(f"{output}: the name must end in .npz")
    if output.exists():
        raise UserError(f"{output}: exists already; choose another name or remove it first")
    require_checkpoint(values.checkpoint, values.model)
    require_writable(output.absolute().parent)
    if os.environ.get("KERAS_BACKEND") == "jax":  # where there may be no TensorFlow
        start_jax(values.gpu)
    else:
        start_tensorflow(values.gpu, values.threads)
    from srn_tf.checkpoints import archive
    from srn_tf.checkpoints.load import load

    name, model, origin = load(values.checkpoint, name=values.model)
    archive.save(output, name, model, {"origin": origin}, storage=values.storage)
    say(f"{name}, {model.count_params():,} parameters, in {output}")
    return 0


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-import", SUMMARY, define_flags(), execute, argv)
