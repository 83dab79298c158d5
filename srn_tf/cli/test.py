"""srn-test: deblurs pictures with a trained network, and scores them."""

import dataclasses
import pathlib
import sys

from absl import flags

from srn_tf import UserError
from srn_tf.cli.command import (
    FAILURE,
    define_checkpoint_flags,
    define_device_flags,
    require,
    run,
    start_tensorflow,
)
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
    values = flags.FlagValues()

    def define(kind, *words, **rules):
        getattr(flags, f"DEFINE_{kind}")(*words, flag_values=values, **rules)

    define(
        "string",
        "input_path",
        None,
        "folder of pictures, one picture, a pattern such as 'photos/*.jpg', a text file (.txt) "
        "with a path a line, or a video (mp4, mov, avi).",
    )
    define("string", "output_path", None, "folder for the results.")
    define("boolean", "recursive", False, "look into the folders of --input_path, too.")
    define("boolean", "overwrite", False, "restore pictures again whose result is there.")
    define(
        "enum",
        "format",
        None,
        ["png", "jpg", "webp", "bmp", "tiff"],
        "of the results; default: as the input.",
    )
    define(
        "integer",
        "quality",
        95,
        "of JPEG and WebP, 1 to 100.",
        lower_bound=1,
        upper_bound=100,
    )
    define(
        "float",
        "max_megapixels",
        300,
        "larger pictures are refused, millions of pixels.",
        lower_bound=0,
    )
    define(
        "boolean", "report", False, "write report.html, a page to compare before and after with."
    )
    define(
        "string",
        "sharp_path",
        None,
        "folder of the sharp pictures, by the same file names, to score against.",
    )
    define("string", "datalist", None, "list of pairs, in place of --input_path and --sharp_path.")
    define("string", "data_root", None, "folder that the paths in --datalist begin in.")
    define(
        "string",
        "koehler_path",
        None,
        "folder of the ground truths of the benchmark of Köhler et al., to score by its protocol.",
    )
    define_checkpoint_flags(values, [*MODELS, *CLASSICAL])
    define(
        "enum",
        "precision",
        "auto",
        ["auto", *PRECISIONS],
        "to compute in; auto: bfloat16 where this machine is faster with it, else float32.",
    )
    define(
        "integer",
        "tile",
        None,
        "longest side in pixels of what the network sees at once; default: as memory allows.",
    )
    define(
        "integer",
        "batch_size",
        None,
        "pictures of equal size to restore at once; default: 8 on a GPU, 1 on a processor.",
        lower_bound=1,
    )
    define(
        "float",
        "blur_length",
        None,
        "length of the motion in pixels; for --model wiener and richardson_lucy.",
    )
    define(
        "float",
        "blur_angle",
        None,
        "direction of the motion in degrees, counterclockwise from the row of pixels; for --model "
        "wiener and richardson_lucy.",
    )
    define_device_flags(values)
    return values


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
    jobs = find_jobs(
        values.input_path, values.output_path, values.recursive, extension, values.sharp_path
    )
    if values.koehler_path:
        from srn_tf.evaluation import koehler

        for job in jobs:  # before hours of work, not after
            koehler.ground_truths(values.koehler_path, job.name)
    return jobs


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

    from srn_tf.evaluation import koehler, report
    from srn_tf.evaluation.scores import first_folder, score, summarize
    from srn_tf.images.rgb import read_rgb
    from srn_tf.progress import progress
    from srn_tf.restoration.batch import deblur_files, explain

    def finish(job):
        """Scores, what kept them from being computed, and the entry in the report.

        From the files, because scores are those of the picture as saved.
        """
        scores = error = entry = None
        if job.sharp is not None:
            try:
                scores = score(job.name, job.source, job.target, job.sharp)
            except (UserError, OSError) as problem:
                error = problem
        if values.report:
            pictures = [read_rgb(path) for path in (job.source, job.target)]
            entry = report.Entry(
                *(job.name, job.source, job.target),
                *reversed(pictures[1].shape[:2]),
                tuple(map(report.thumbnail, pictures)),
                seconds=None,
                scores=scores and {k: v for k, v in scores.items() if k != "name"},
            )
        return scores, error, entry

    rows, entries, notes, errors, done, before = [], [], [], [], 0, 0
    batch_size = values.batch_size or (8 if tf.config.list_physical_devices("GPU") else 1)
    with progress("deblurring", len(jobs)) as advance:
        deblurrer.on_tile = lambda tile, tiles: advance(f"tile {tile} of {tiles}", parts=0)
        for result in deblur_files(
            deblurrer,
            jobs,
            overwrite=values.overwrite,
            quality=values.quality,
            max_megapixels=values.max_megapixels,
            batch_size=batch_size,
            finish=finish,
        ):
            done += result.restored
            before += result.restored and result.seconds is None
            notes += [f"{result.job.name}: {note}" for note in result.notes]
            if result.error:
                errors.append(explain(result))
            if result.extra:
                scores, error, entry = result.extra
                rows += [scores] if scores else []
                errors += [error] if error else []
                entries += [dataclasses.replace(entry, seconds=result.seconds)] if entry else []
            advance(result.job.name)
    sequence = first_folder
    if values.koehler_path:
        sequence = koehler.trajectory
        pictures = [(job.name, job.target) for job in jobs if job.target.exists()]
        for row in koehler.evaluate(pictures, values.koehler_path):
            (rows if isinstance(row, dict) else errors).append(row)
    if rows:
        _write_scores(pathlib.Path(values.output_path), rows, summarize(rows, sequence))
    if entries:
        page = pathlib.Path(values.output_path, "report.html")
        name = pathlib.Path(values.datalist or values.input_path).resolve().name
        report.write_report(page, entries, f"{name}, deblurred")
        print(f"report in {page}")
    for note in notes:
        print(note)
    print(
        f"pictures deblurred: {done - before}, in {values.output_path}"
        + (f"; there before: {before} (--overwrite restores them again)" if before else "")
    )
    for error in errors:
        print(f"srn-test: {error}", file=sys.stderr)
    return FAILURE if errors else 0


def _write_scores(output_path: pathlib.Path, rows, means) -> None:
    from srn_tf.evaluation.scores import print_table, write_csv, write_json

    write_csv(output_path / "scores.csv", rows, means)
    write_json(output_path / "scores.json", rows, means)
    print_table(rows, means)
    print(f"scores in {output_path / 'scores.csv'} and scores.json")


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
