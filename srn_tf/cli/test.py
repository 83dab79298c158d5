"""srn-test: deblurs pictures with a trained network, and scores them."""

import pathlib
import sys

from absl import flags

from srn_tf.cli.command import (
    FAILURE,
    define_checkpoint_flags,
    define_device_flags,
    require,
    run,
    start_tensorflow,
)
from srn_tf.config import CLASSICAL, MODELS

SUMMARY = """deblurs every picture of a folder, of any size, under the same file name.

    srn-test --input_path photos --output_path restored --checkpoint runs/color
With the sharp pictures, matched by file name, it prints PSNR and SSIM and writes scores.csv:
    srn-test --input_path blurred --output_path restored --checkpoint runs/color --sharp_path sharp
For comparison, a classical deconvolution of a motion along a line that you know:
    srn-test --input_path photos --output_path restored --model wiener --blur_length 9 \\
        --blur_angle 30
"""


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string(
        "input_path", None, "folder of pictures, or one picture.", flag_values=values
    )
    flags.DEFINE_string("output_path", None, "folder for the results.", flag_values=values)
    flags.DEFINE_string(
        "sharp_path",
        None,
        "folder of the sharp pictures, by the same file names, to score against.",
        flag_values=values,
    )
    define_checkpoint_flags(values, [*MODELS, *CLASSICAL])
    flags.DEFINE_float(
        "blur_length",
        None,
        "length of the motion in pixels; for --model wiener and richardson_lucy.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "blur_angle",
        None,
        "direction of the motion in degrees, counterclockwise from the row of pixels; for --model "
        "wiener and richardson_lucy.",
        flag_values=values,
    )
    define_device_flags(values)
    return values


def execute(values: flags.FlagValues) -> int:
    classical = values.model in CLASSICAL
    needed = ("blur_length", "blur_angle") if classical else ("checkpoint",)
    require(values, "input_path", "output_path", *needed)
    if classical and values.checkpoint is not None:
        raise ValueError(f"--checkpoint has no part in --model {values.model}")
    if values.sharp_path is not None:
        sharp_path = pathlib.Path(values.sharp_path)
        if not sharp_path.is_dir():
            raise ValueError(f"{sharp_path}: no such folder of sharp pictures")
        if sharp_path.resolve() == pathlib.Path(values.output_path).resolve():
            raise ValueError(f"{sharp_path}: the sharp pictures there would be overwritten")
    start_tensorflow(values.gpu, values.threads)
    from srn_tf import evaluation
    from srn_tf.classical import ClassicalDeblurrer
    from srn_tf.inference import Deblurrer, deblur_files

    if classical:
        deblurrer = ClassicalDeblurrer(values.model, values.blur_length, values.blur_angle)
    else:
        deblurrer = Deblurrer(values.checkpoint, values.precision, values.model)
    rows, failures, done = [], [], 0
    for path, result in deblur_files(deblurrer, values.input_path, values.output_path):
        if isinstance(result, Exception):
            failures.append(result)
            continue
        done += 1
        if values.sharp_path is not None:
            try:
                rows.append(evaluation.score(path, *result, values.sharp_path))
            except (ValueError, OSError) as error:
                failures.append(error)
    if rows:
        rows = evaluation.with_mean(rows)
        scores = pathlib.Path(values.output_path) / "scores.csv"
        evaluation.write_csv(scores, rows)
        evaluation.print_table(rows)
        print(f"scores in {scores}")
    print(f"pictures deblurred: {done}, in {values.output_path}")
    for failure in failures:
        print(f"srn-test: {failure}", file=sys.stderr)
    return FAILURE if failures else 0


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-test", SUMMARY, define_flags(), execute, argv)
