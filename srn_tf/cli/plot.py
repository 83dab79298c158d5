"""srn-plot: draws the curves of training runs."""

from absl import flags

from srn_tf import UserError
from srn_tf.cli.command import Flags, run

SUMMARY = """draws the curves of training runs, as one picture: losses, validation, speed.

    srn-plot runs/color runs/photos --output_path curves.png
"""


def define_flags() -> flags.FlagValues:
    define = Flags()
    define.string("output_path", "picture to write, .png, .pdf or .svg.", "curves.png")
    return define.values


def execute(values: flags.FlagValues) -> int:
    if not values.words:
        raise UserError("one or more run folders are needed; see srn-plot --help")
    from srn_tf.training.curves import plot_runs

    plot_runs(values.words, values.output_path)
    print(f"drawn in {values.output_path}")
    return 0


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-plot", SUMMARY, define_flags(), execute, argv, words="run folders")
