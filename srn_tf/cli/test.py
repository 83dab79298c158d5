"""srn-test: deblurs pictures with a trained network, and scores them."""

import os
import pathlib
import sys

from absl import flags

from srn_tf import UserError
from srn_tf.cli.command import FAILURE, Flags, require, run, start_tensorflow
from srn_tf.networks.configs import MODELS
from srn_tf.options import CLASSICAL, PRECISIONS

SUMMARY = """deblurs pictures of any size and format, under the same file name.

    srn-test --input_path photos --output_path restored --report
A single picture, a pattern in quotes, a text file with a path a line, or a video will do as well.
With the sharp pictures, matched by file name, it prints PSNR and SSIM and writes scores.csv:
    srn-test --input_path blurred --output_path restored --sharp_path sharp
The test set of GOPRO, from its list, with a network of your own:
    srn-test --datalist data_lists/gopro_test.txt --data_root GOPRO/test --output_path restored \\
        --checkpoint runs/color
The benchmark of Köhler et al., against all ground truths of each picture:
    srn-test --input_path BlurryImages --output_path restored --checkpoint runs/color \\
        --koehler_path GroundTruth
For comparison, a classical deconvolution of a motion along a line that you know:
    srn-test --input_path photos --output_path restored --model wiener --blur_length 9 \\
        --blur_angle 30
"""


def define_flags() -> flags.FlagValues:
    define = Flags()
    define.string(
        "input_path",
        "folder of pictures, one picture, a pattern such as 'photos/*.jpg', a text file (.txt) "
        "with a path a line, or a video (mp4, mov, avi).",
    )
    define.string("output_path", "folder for the results.")
    define.switch("recursive", "look into the folders of --input_path, too.")
    define.switch("overwrite", "restore pictures again whose result is there.")
    define.choice(
        "format",
        ["png", "jpg", "webp", "bmp", "tiff", "avif", "heic"],
        "of the results; default: as the input.",
    )
    define.integer("quality", "of JPEG, WebP, AVIF and HEIC, 1 to 100.", 95, 1, 100)
    define.real("max_megapixels", "larger pictures are refused, millions of pixels.", 300, 0)
    define.switch("report", "write report.html, a page to compare before and after with.")
    define.string(
        "sharp_path", "folder of the sharp pictures, by the same file names, to score against."
    )
    define.string("datalist", "list of pairs, in place of --input_path and --sharp_path.")
    define.string("data_root", "folder that the paths in --datalist begin in.")
    define.string(
        "koehler_path",
        "folder of the ground truths of the benchmark of Köhler et al., to score by its protocol.",
    )
    define.checkpoint([*MODELS, *CLASSICAL])
    define.choice(
        "precision",
        ["auto", *PRECISIONS],
        "to compute in; auto: bfloat16 where this machine is faster with it, else float32.",
        "auto",
    )
    define.integer(
        "tile",
        "longest side in pixels of what the network sees at once; default: by the memory.",
    )
    define.integer(
        "batch_size",
        "pictures of equal size to restore at once; default: 8 on a GPU, 1 on a processor.",
        low=1,
    )
    define.real("blur_length", "length of the motion in pixels; for wiener and richardson_lucy.")
    define.real(
        "blur_angle",
        "direction of the motion in degrees, counterclockwise from the row of pixels; for wiener "
        "and richardson_lucy.",
    )
    define.device()
    return define.values


def execute(values: flags.FlagValues) -> int:
    classical = values.model in CLASSICAL
    source = "datalist" if values.datalist is not None else "input_path"
    needed = ("blur_length", "blur_angle") if classical else ()
    require(values, source, "output_path", *needed)
    from srn_tf.images.video import CODECS

    is_video = pathlib.Path(values[source].value).suffix.lower() in CODECS
    _refuse_what_has_no_part(values, classical, is_video)
    jobs = [] if is_video else _find_jobs(values)
    start_tensorflow(values.gpu, values.threads)
    deblurrer = _create_deblurrer(values, classical)
    if is_video:
        return _deblur_video(values, deblurrer)
    return _deblur_pictures(values, deblurrer, jobs)


def _refuse_what_has_no_part(values: flags.FlagValues, classical: bool, is_video: bool) -> None:
    """Raises UserError for a flag that would change nothing."""
    pairs = ("sharp_path", "koehler_path", "report", "recursive", "format", "quality")
    rules = [
        (classical, f"--model {values.model}", ("checkpoint", "precision", "tile", "batch_size")),
        (not classical, "a network", ("blur_length", "blur_angle")),
        (values.datalist, "--datalist", ("input_path", "sharp_path", "recursive", "koehler_path")),
        (not values.datalist, "--input_path", ("data_root",)),
        (values.koehler_path, "--koehler_path", ("sharp_path",)),
        (is_video, "a video", (*pairs, "max_megapixels", "batch_size")),
    ]
    for applies, what, others in rules:
        for name in others:
            if applies and values[name].present:
                raise UserError(f"--{name} has no part beside {what}")


def _find_jobs(values: flags.FlagValues) -> list:
    from srn_tf.restoration.jobs import find_jobs, jobs_of_list

    extension = values.format and f".{values.format}"
    if values.datalist:
        return jobs_of_list(values.datalist, values.data_root or ".", values.output_path, extension)
    for path in (values.sharp_path, values.koehler_path):
        if path and not pathlib.Path(path).is_dir():
            raise UserError(f"{path}: no such folder of sharp pictures")
    return find_jobs(
        values.input_path, values.output_path, values.recursive, extension, values.sharp_path
    )


def _create_deblurrer(values: flags.FlagValues, classical: bool):
    from srn_tf.restoration.classical import ClassicalDeblurrer
    from srn_tf.restoration.deblurrer import Deblurrer

    if classical:
        return ClassicalDeblurrer(values.model, values.blur_length, values.blur_angle)
    deblurrer = Deblurrer(values.checkpoint, values.precision, values.tile, values.model)
    print(f"computing in {deblurrer.precision}", flush=True)
    return deblurrer


def _deblur_pictures(values: flags.FlagValues, deblurrer, jobs) -> int:
    import tensorflow as tf

    from srn_tf.restoration.folder import restore_folder

    name = pathlib.Path(values.datalist or values.input_path).resolve().name
    summary = restore_folder(
        deblurrer,
        jobs,
        values.output_path,
        overwrite=values.overwrite,
        quality=values.quality,
        max_megapixels=values.max_megapixels,
        batch_size=values.batch_size or (8 if tf.config.list_physical_devices("GPU") else 1),
        report_title=f"{name}, deblurred" if values.report else None,
        koehler_path=values.koehler_path,
    )
    _print(summary, values.output_path)
    return FAILURE if summary.errors else 0


def _print(summary, output_path: str) -> None:
    from srn_tf.evaluation.scores import print_table

    if summary.scores:
        print_table(summary.scores, summary.means)
        print(f"scores in {os.path.join(output_path, 'scores.csv')} and scores.json")
    if summary.report:
        print(f"report in {summary.report}")
    for note in summary.notes:
        print(note)
    before = f"; there before: {summary.there_before} (--overwrite restores them again)"
    print(
        f"pictures deblurred: {summary.restored}, in {output_path}"
        f"{before if summary.there_before else ''}"
    )
    for error in summary.errors:
        print(f"srn-test: {error}", file=sys.stderr)


def _deblur_video(values: flags.FlagValues, deblurrer) -> int:
    from srn_tf.images.video import Video
    from srn_tf.progress import progress
    from srn_tf.restoration.video import deblur_video

    source = pathlib.Path(values.input_path)
    target = pathlib.Path(values.output_path, source.name)
    if target.exists():
        if target.samefile(source):
            raise UserError(f"{target}: is the video to read, and would be overwritten")
        if not values.overwrite:
            print(f"{target}: there before (--overwrite restores it again)")
            return 0
    expected = Video(source).frames
    with progress("deblurring", expected) as advance:
        frames = deblur_video(deblurrer, source, target, advance)
    print(f"frames deblurred: {frames}, in {target}; sound is not kept")
    if frames < expected:
        print(f"srn-test: {source}: of {expected} frames {frames} could be read", file=sys.stderr)
        return FAILURE
    return 0


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-test", SUMMARY, define_flags(), execute, argv)
