"""srn-test: deblurs pictures with a trained network, and scores them."""

import contextlib
import os
import pathlib
import sys
import tempfile

from absl import flags

from srn_tf import UserError
from srn_tf.cli.command import (
    FAILURE,
    Flags,
    require,
    require_checkpoint,
    require_gpu,
    require_packages,
    run,
    say,
    start_tensorflow,
)
from srn_tf.networks.configs import MODELS
from srn_tf.options import AUTO, BLIND, CLASSICAL, PICTURE_FORMATS, PRECISIONS

SUMMARY = """deblurs pictures of any size and format, under the same file name.

    srn-test photos --report
    srn-test a.jpg b.png holiday.mp4 --output_path restored
Pictures, folders, patterns in quotes, text files with a path a line, and videos will do. Results go
to --output_path, or to a folder `restored` beside the first. In a pipeline:
    srn-test - < blurred.jpg > restored.jpg
With the sharp pictures, matched by file name, it prints PSNR and SSIM and writes scores.csv:
    srn-test blurred --output_path restored --sharp_path sharp
The test set of GOPRO, from its list, with a network of your own:
    srn-test --datalist data_lists/gopro_test.txt --data_root GOPRO/test --output_path restored \\
        --checkpoint runs/color
The benchmark of Köhler et al., against all ground truths of each picture:
    srn-test BlurryImages --output_path restored --checkpoint runs/color \\
        --koehler_path GroundTruth
Without a network, by the blur found in each picture itself:
    srn-test photos --output_path restored --model blind
For comparison, a classical deconvolution of a motion along a line that you know:
    srn-test photos --output_path restored --model wiener --blur_length 9 --blur_angle 30
"""

_PIPE = "-"  # standard input, or output
_OF_PICTURES = ("sharp_path", "koehler_path", "report", "recursive", "format", "quality", "scores")
# What has a part beside these flags.
_OF_MERGING = ("merge", "scores")
_OF_RAY = (
    *("ray", "ray_workers", "input_path", "output_path", "recursive", "overwrite", "format"),
    *("quality", "max_megapixels", "checkpoint", "model", "precision", "tile", "batch_size", "gpu"),
)


_OF_RAY_OPTIONS = ("precision", "tile", "model", "quality", "max_megapixels", "batch_size")


def define_flags() -> flags.FlagValues:
    define = Flags()
    define.string(
        "input_path",
        "folder of pictures, one picture, a pattern such as 'photos/*.jpg', a text file (.txt) "
        "with a path a line, or a video (mp4, mov, mkv, avi); as words without a flag, several.",
        short="i",
    )
    define.string(
        "output_path",
        "folder for the results, or the file for a single one; default: `restored` beside the "
        "input.",
        short="o",
    )
    define.switch("recursive", "look into the folders of a folder, too.")
    define.switch("overwrite", "restore again what has a result.")
    define.choice("format", PICTURE_FORMATS, "of the results; default: as the input.")
    define.integer("quality", "of JPEG, WebP, AVIF and HEIC, 1 to 100.", 95, low=1, high=100)
    define.choice("codec", ("h264", "hevc"), "of videos.", "h264")
    define.integer(
        "crf",
        "quality of videos, 0 (best) to 51; default: no loss is seen, 17 for h264, 20 for hevc.",
        low=0,
        high=51,
    )
    define.real("max_megapixels", "larger pictures are refused, millions of pixels.", 300.0, low=0)
    define.switch("report", "write report.html, a page to compare before and after with.")
    define.string(
        "sharp_path", "folder of the sharp pictures, by the same file names, to score against."
    )
    define.choice("scores", ("main", "all"), "to print: PSNR and SSIM, or all.", "main")
    define.string("datalist", "list of pairs, in place of --input_path and --sharp_path.")
    define.string("data_root", "folder that the paths in --datalist begin in.")
    define.string(
        "koehler_path",
        "folder of the ground truths of the benchmark of Köhler et al., to score by its protocol.",
    )
    define.string(
        "shard",
        "restore only this part of the pictures, such as 3/16: every 16th of them by name, from "
        "the third.",
    )
    define.string(
        "merge", "folder of the results of all shards: their scores and reports become one."
    )
    define.string(
        "ray",
        "restore on a Ray cluster, at this address, or `local`: a folder, also s3:// or gs://.",
    )
    define.integer("ray_workers", "processes with a network each, on Ray.", 1, low=1)
    _define_network(define)
    define.device()
    return define.values


def _define_network(define: Flags) -> None:
    """The flags of what restores: a network, or a classical method."""
    define.checkpoint(
        [AUTO, *MODELS, BLIND, *CLASSICAL],
        "; auto: the best; blind: no network, the blur is found in each picture; wiener and "
        "richardson_lucy: it is known",
    )
    define.choice(
        "precision",
        ("auto", *PRECISIONS),
        "to compute in; auto: bfloat16 on a GPU or processor that has it, else float32.",
        "auto",
    )
    define.integer(
        "tile",
        "longest side in pixels of what the network sees at once; default: as memory allows.",
    )
    define.integer(
        "batch_size",
        "pictures of equal size to restore at once; default: 8 on a GPU, 1 on a processor.",
        low=1,
    )
    define.integer(
        "blur_size",
        "the largest blur looked for, in pixels; for --model blind; default: 41, in larger "
        "pictures up to 81.",
    )
    define.real(
        "strength",
        "0 to 1, how much of the restored picture is taken where it is trusted; for --model blind; "
        "default: 1.",
    )
    define.string(
        "kernel",
        "the blur, a picture of it or an array (.npy); for --model wiener and richardson_lucy.",
    )
    define.real(
        "blur_length",
        "length of the motion in pixels, in place of --kernel.",
    )
    define.real(
        "blur_angle",
        "direction of the motion in degrees, counterclockwise from the row of pixels.",
    )


def execute(values: flags.FlagValues) -> int:
    from srn_tf.images.video import EXTENSIONS
    from srn_tf.restoration.jobs import beside

    if values.merge is not None:
        return _merge(values)
    if values.ray is not None:
        return _restore_on_ray(values)
    inputs = [*filter(None, [values.input_path]), *values.words]
    if values.datalist is not None:
        require(values, "datalist", "output_path")
    elif not inputs:
        require(values, "input_path")
    if values.model in CLASSICAL and values.kernel is None:
        require(values, "blur_length", "blur_angle")
    videos = [path for path in inputs if pathlib.Path(path).suffix.lower() in EXTENSIONS]
    pictures = [path for path in inputs if path not in videos]
    piped = _PIPE in (*inputs, values.output_path)
    _refuse_what_has_no_part(values, inputs, videos, piped)
    # What can be known is found out before TensorFlow takes its seconds, and a network its hours.
    if piped:
        _check_network(values)
        return _deblur_pipe(values, inputs)
    output = values.output_path or beside(inputs)
    jobs = _find_jobs(values, pictures, output) if pictures or values.datalist else []
    shard = None
    if values.shard is not None:
        from srn_tf.evaluation.shards import Shard

        shard = Shard.parse(values.shard)
        jobs = shard.of(jobs, lambda job: job.name)
    clips = _find_videos(values, videos, output, alone=not jobs)
    _check_network(values)
    _require_room(jobs, clips)
    if not values.output_path:
        say(f"results go to {output}")
    deblurrer = _create_deblurrer(values)
    statuses = []
    if jobs or shard:
        statuses.append(_deblur_pictures(values, deblurrer, jobs, inputs, output, shard))
    statuses += [_deblur_video(values, deblurrer, *clip) for clip in clips]
    return max(statuses)


def _has_network(values: flags.FlagValues) -> bool:
    return values.model not in (BLIND, *CLASSICAL)


def _name(values: flags.FlagValues) -> str | None:
    """Of the network; None: what the checkpoint says, or the best one."""
    return None if values.model == AUTO else values.model


def _refuse_what_has_no_part(values: flags.FlagValues, inputs, videos, piped: bool) -> None:
    """Raises UserError for a flag that would change nothing."""
    method = "a network" if _has_network(values) else f"--model {values.model}"
    rules = [
        (not _has_network(values), method, ("checkpoint", "precision", "tile", "batch_size")),
        (values.model == AUTO, f"--model {AUTO}", ("checkpoint",)),
        (values.model != BLIND, method, ("blur_size", "strength")),
        (values.model not in CLASSICAL, method, ("kernel", "blur_length", "blur_angle")),
        (values.kernel is not None, "--kernel", ("blur_length", "blur_angle")),
        (values.datalist, "--datalist", ("sharp_path", "recursive", "koehler_path")),
        (not values.datalist, "--input_path", ("data_root",)),
        (values.koehler_path, "--koehler_path", ("sharp_path",)),
        (videos, "a video", (*_OF_PICTURES, "shard", "max_megapixels", "batch_size")),
        (not videos, "pictures", ("codec", "crf")),
        (piped, "standard input or output", (*_OF_PICTURES[:4], "datalist", "overwrite", "shard")),
    ]
    for applies, what, others in rules:
        # Beside pictures, what is theirs has a part.
        applies = applies and not (what == "a video" and len(videos) < len(inputs))
        for name in others:
            if applies and values[name].present:
                raise UserError(f"--{name} has no part beside {what}")
    if values.datalist and inputs:
        raise UserError(f"{inputs[0]}: an input has no part beside --datalist")


def _check_network(values: flags.FlagValues) -> None:
    require_gpu(values.gpu)
    if not _has_network(values):
        return
    from srn_tf.restoration.tiling import SMALLEST_TILE

    if values.tile is not None and values.tile < SMALLEST_TILE:
        raise UserError(f"tile must be at least {SMALLEST_TILE} pixels, not {values.tile}")
    require_checkpoint(values.checkpoint, _name(values))


def _find_jobs(values: flags.FlagValues, inputs, output) -> list:
    from srn_tf.restoration.jobs import find_jobs, jobs_of_list

    extension = values.format and f".{values.format}"
    if values.datalist:
        return jobs_of_list(values.datalist, values.data_root or ".", output, extension)
    for path in (values.sharp_path, values.koehler_path):
        if path and not pathlib.Path(path).is_dir():
            raise UserError(f"{path}: no such folder of sharp pictures")
    return find_jobs(inputs, output, values.recursive, extension, values.sharp_path)


def _find_videos(values: flags.FlagValues, videos, output, alone: bool) -> list[tuple]:
    """(source, target) of each video, which can be read and written as asked for."""
    from srn_tf.images.video import Video
    from srn_tf.restoration.video import find_target

    found = {}
    for path in map(pathlib.Path, videos):
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        target = find_target(path, output, values.codec, alone and len(videos) == 1)
        if target in found:
            raise UserError(f"{path} and {found[target]} would both become {target}")
        with Video(path):
            found[target] = path
    return [(source, target) for target, source in found.items()]


def _require_room(jobs, clips) -> None:
    """Raises OSError if a folder of results cannot be written."""
    from srn_tf.atomic import require_writable

    targets = [*(job.target for job in jobs), *(target for _, target in clips)]
    for folder in dict.fromkeys(target.parent for target in targets):
        require_writable(folder)


def _create_deblurrer(values: flags.FlagValues):
    if values.model == BLIND:
        from srn_tf.restoration.blind import BlindDeblurrer

        strength = 1.0 if values.strength is None else values.strength
        return BlindDeblurrer(values.blur_size, strength, threads=values.threads)
    if values.model in CLASSICAL:
        from srn_tf.restoration.classical import ClassicalDeblurrer, line_kernel, read_kernel

        if values.kernel is not None:
            return ClassicalDeblurrer(values.model, read_kernel(values.kernel))
        return ClassicalDeblurrer(values.model, line_kernel(values.blur_length, values.blur_angle))
    start_tensorflow(values.gpu, values.threads)
    from srn_tf.restoration.deblurrer import Deblurrer  # behind it, which loads TensorFlow quietly

    deblurrer = Deblurrer(values.checkpoint, values.precision, values.tile, _name(values))
    print(f"computing in {deblurrer.precision}", flush=True)
    return deblurrer


def _batch_size(values: flags.FlagValues) -> int:
    if values.batch_size or not _has_network(values):
        return values.batch_size or 1
    from srn_tf.restoration.deblurrer import batch_size_here

    return batch_size_here()


def _deblur_pipe(values: flags.FlagValues, inputs) -> int:
    """Restores the picture of standard input, or writes it to standard output, or both."""
    from srn_tf.images.files import extension_of
    from srn_tf.restoration.batch import deblur_files, explain
    from srn_tf.restoration.jobs import Job

    if len(inputs) != 1:
        raise UserError("with standard input or output there is one picture")
    written = values.output_path in (None, _PIPE)
    if written and sys.stdout.isatty():
        raise UserError("standard output is a terminal; add > FILE, or --output_path")
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(inputs[0])
        if inputs[0] == _PIPE:
            content = sys.stdin.buffer.read()
            source = pathlib.Path(folder, f"input{extension_of(content)}")
            source.write_bytes(content)
        ending = f".{values.format}" if values.format else source.suffix
        target = pathlib.Path(folder, f"output{ending}")
        target = target if written else pathlib.Path(values.output_path)
        with contextlib.redirect_stdout(sys.stderr):  # the picture alone goes to standard output
            deblurrer = _create_deblurrer(values)
            rules = {"quality": values.quality, "max_megapixels": values.max_megapixels}
            jobs = [Job(source.name, source, target)]
            (result,) = deblur_files(deblurrer, jobs, overwrite=True, **rules)
            for note in result.notes:
                say(note)
        if result.error:
            raise UserError(explain(result).replace(str(source), inputs[0]))
        if written:
            sys.stdout.buffer.write(target.read_bytes())
            sys.stdout.buffer.flush()
    return 0


def _deblur_pictures(values: flags.FlagValues, deblurrer, jobs, inputs, output, shard) -> int:
    from srn_tf.restoration.folder import restore_folder
    from srn_tf.restoration.jobs import names_a_picture

    name = pathlib.Path(values.datalist or inputs[0]).resolve().name
    folder = pathlib.Path(output)
    folder = folder.parent if names_a_picture(output) else folder
    summary = restore_folder(
        deblurrer,
        jobs,
        folder,
        overwrite=values.overwrite,
        quality=values.quality,
        max_megapixels=values.max_megapixels,
        batch_size=_batch_size(values),
        report_title=f"{name}, deblurred" if values.report else None,
        koehler_path=values.koehler_path,
        shard=shard,
    )
    _print(summary, folder, output, shard, values.scores == "all")
    return FAILURE if summary.errors else 0


def _print(summary, folder: pathlib.Path, output, shard, every_score: bool) -> None:
    from srn_tf.evaluation.scores import print_table

    if summary.scores:
        print_table(summary.scores, summary.means, every_score)
        csv = "scores.csv" if shard is None else shard.name("scores.csv")
        say(f"scores in {folder / csv} and {csv.removesuffix('csv')}json")
    if summary.report:
        say(f"report in {summary.report}")
    for note in summary.notes:
        say(note)
    before = f"; there before: {summary.there_before} (--overwrite restores them again)"
    say(
        f"pictures deblurred: {summary.restored}, in {output}"
        f"{before if summary.there_before else ''}"
    )
    for error in summary.errors:
        say(f"srn-test: {error}", sys.stderr)


def _refuse_others(values: flags.FlagValues, flag: str, allowed) -> None:
    """Raises UserError for a flag that would change nothing beside this one."""
    for name in values:
        given = values[name].name  # of a short one the long
        if given not in (*allowed, "traceback", "words") and values[name].present:
            raise UserError(f"--{given} has no part beside --{flag}")


def _restore_on_ray(values: flags.FlagValues) -> int:
    _refuse_others(values, "ray", _OF_RAY)
    inputs = [*filter(None, [values.input_path]), *values.words]
    require(values, "output_path")
    if len(inputs) != 1:
        raise UserError("with --ray there is one folder")
    if not _has_network(values):
        raise UserError(f"--model {values.model} has no part beside --ray")
    require_packages("--ray", {"ray": "ray[data]"})
    require_checkpoint(values.checkpoint, values.model)
    from srn_tf import ray
    from srn_tf.progress import progress

    options = ray.Options(
        values.checkpoint and os.path.abspath(values.checkpoint),
        **{name: values[name].value for name in _OF_RAY_OPTIONS},
        extension=values.format and f".{values.format}",
    )
    with progress("deblurring", None) as advance:
        summary = ray.restore(
            inputs[0],
            values.output_path,
            options,
            workers=values.ray_workers,
            num_gpus=int(values.gpu is not None and not values.gpu.startswith("-")),
            overwrite=values.overwrite,
            address=values.ray,
            advance=advance,
        )
    _print(summary, None, values.output_path, None, False)
    return FAILURE if summary.errors else 0


def _merge(values: flags.FlagValues) -> int:
    from srn_tf.evaluation.scores import print_table
    from srn_tf.evaluation.shards import merge

    _refuse_others(values, "merge", _OF_MERGING)
    if values.words:
        raise UserError(f"{values.words[0]}: an input has no part beside --merge")
    rows, means, report = merge(values.merge)
    if rows:
        print_table(rows, means, values.scores == "all")
        say(f"scores in {pathlib.Path(values.merge, 'scores.csv')} and scores.json")
    if report:
        say(f"report in {report}")
    return 0


def _deblur_video(values: flags.FlagValues, deblurrer, source, target) -> int:
    from srn_tf.images.video import Video
    from srn_tf.progress import progress
    from srn_tf.restoration.video import deblur_video

    if target.exists() and not values.overwrite:
        say(f"{target}: there before (--overwrite restores it again)")
        return 0
    with (
        Video(source) as video,
        progress("deblurring" + " (about)" * video.count_is_estimate, video.count) as advance,
    ):
        deblurrer.in_order = True
        result = deblur_video(deblurrer, video, target, values.codec, values.crf, advance)
    for note in result.notes:
        say(f"{source.name}: {note}")
    say(f"frames deblurred: {result.frames}, in {target}")
    if result.damage:
        say(f"srn-test: {source}: damaged: {result.damage}", sys.stderr)
        return FAILURE
    return 0


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-test", SUMMARY, define_flags(), execute, argv, words="pictures and videos")
