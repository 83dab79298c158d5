"""srn-import: makes one file of this project from weights, its own or the authors'."""

import pathlib

from absl import flags

from srn_tf.cli.command import define_device_flags, require, run, start_tensorflow
from srn_tf.networks.configs import MODELS

SUMMARY = """makes one small file from a checkpoint of the authors' programs or of a run.

    srn-import --checkpoint deblur.model-523000 --output color.npz
    srn-import --checkpoint runs/color --storage float16 --output color.npz
The file holds weights, configuration and where they came from, but nothing to go on training with;
srn-test, srn-export and srn_tf.load_model open it.
"""


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string(
        "checkpoint",
        None,
        "prefix of a TensorFlow 1 checkpoint (lstm, gray, color, pss_nsc), PyTorch file (mscnn), "
        "checkpoint file or run folder.",
        flag_values=values,
    )
    flags.DEFINE_string("output", None, "file to write, ending in .npz.", flag_values=values)
    flags.DEFINE_enum(
        "model", None, list(MODELS), "the model it must be; default: what fits.", flag_values=values
    )
    flags.DEFINE_enum(
        "storage",
        "float32",
        ["float32", "float16"],
        "numbers to store; float16 takes half the room.",
        flag_values=values,
    )
    define_device_flags(values)
    return values


def execute(values: flags.FlagValues) -> int:
    require(values, "checkpoint", "output")
    output = pathlib.Path(values.output)
    if output.suffix != ".npz":
        raise ValueError(f"{output}: the name must end in .npz")
    if output.exists():
        raise ValueError(f"{output}: exists already; choose another name or remove it first")
    start_tensorflow(values.gpu, values.threads)
    from srn_tf.checkpoints import archive
    from srn_tf.checkpoints.load import load

    name, model, origin = load(values.checkpoint, name=values.model)
    archive.save(output, name, model, {"origin": origin}, storage=values.storage)
    print(f"{name}, {model.count_params():,} parameters, in {output}")
    return 0


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-import", SUMMARY, define_flags(), execute, argv)
