"""Deblurring files: what to read, where to write, and reading, network and writing at once."""

import collections
import concurrent.futures
import dataclasses
import errno
import glob
import math
import os
import pathlib
import time

import numpy as np

from srn_tf.data.pair_list import read_list
from srn_tf.images.files import EXTENSIONS, find_images
from srn_tf.images.picture import MAX_MEGAPIXELS, QUALITY, Picture
from srn_tf.images.read import read_picture
from srn_tf.images.write import write_picture

# Pictures that wait before and behind the network; each side has as many threads.
_WAITING = 2
# Pixels that a batch has at most: larger pictures gain nothing from company.
_BATCH_PIXELS = 2**21


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to restore.

    Attributes:
        name: path of the result below the output folder, with slashes.
        source, target: files to read and to write.
        sharp: the sharp picture to compare with, which need not exist.
    """

    name: str
    source: pathlib.Path
    target: pathlib.Path
    sharp: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one picture.

    Attributes:
        job: the picture.
        restored: whether its file is there now.
        seconds: of the network; None if the file was there before, or the picture failed.
        notes: what is not as it was, such as bits or alpha that the format cannot hold.
        error: why the picture failed, or why `finish` did.
        extra: what `finish` gave.
    """

    job: Job
    restored: bool = False
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    error: Exception | None = None
    extra: object = None


def find_jobs(
    input_path, output_path, recursive: bool = False, extension: str | None = None, sharp_path=None
) -> list[Job]:
    """The pictures that a user means.

    Args:
        input_path: a picture; a folder, of which hidden files and what is no picture are left out;
            a pattern such as `photos/*.jpg`; or a text file (.txt) with a path a line, relative to
            the current folder. Results keep their place below the folder that all have in common.
        output_path: folder of the results; what is in it is never taken as input.
        recursive: whether to look into the folders of a folder.
        extension: of the results, such as ".png"; by default that of each picture.
        sharp_path: folder of sharp pictures under the names of the blurred ones.

    Raises:
        ValueError: if there is nothing to read, or a result would replace a picture or another
            result.
    """
    text, path = str(input_path), pathlib.Path(input_path)
    if path.is_dir():
        sources, root = find_images(path, recursive), path
    elif path.is_file():
        sources = _read_paths(path) if path.suffix.lower() == ".txt" else [path]
        root = _common_folder(sources)
    elif glob.has_magic(text):
        found = sorted(map(pathlib.Path, glob.glob(text, recursive=True)))
        sources = [file for file in found if file.suffix.lower() in EXTENSIONS and file.is_file()]
        if not sources:
            raise ValueError(f"{text}: no pictures of this pattern ({', '.join(EXTENSIONS)})")
        root = _common_folder(sources)
    else:
        raise ValueError(f"{text}: no such file or folder")
    output = os.path.realpath(output_path)
    if output == os.path.realpath(root):
        raise ValueError(f"{output_path}: is the folder of the input; choose another")
    sources = [source for source in sources if not _is_below(os.path.realpath(source), output)]
    if not sources:
        raise ValueError(f"{text}: all pictures in it are in {output_path}, of the results")
    absolute_root = os.path.abspath(root)
    names = [os.path.relpath(os.path.abspath(source), absolute_root) for source in sources]
    sharp = [None if sharp_path is None else pathlib.Path(sharp_path, name) for name in names]
    return _jobs(names, sources, sharp, output_path, extension)


def jobs_of_list(datalist, data_root, output_path, extension: str | None = None) -> list[Job]:
    """The pairs of a data list: the blurred pictures to restore and the sharp ones to compare with.

    Raises:
        ValueError: as `read_list` and `find_jobs`.
    """
    pairs = read_list(datalist, data_root)
    names = [os.path.relpath(pair.blurred, data_root) for pair in pairs]
    for name, pair in zip(names, pairs, strict=True):
        if name.startswith(os.pardir):
            raise ValueError(f"{pair.where}: {pair.blurred} is not below {data_root}")
    blurred, sharp = [pair.blurred for pair in pairs], [pair.sharp for pair in pairs]
    return _jobs(names, blurred, sharp, output_path, extension)


def _read_paths(path: pathlib.Path) -> list[pathlib.Path]:
    try:
        # Names need not be valid text.
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as a list of paths ({error})") from None
    sources = {}  # in their order, each once
    for number, line in enumerate(lines, start=1):
        if not (line := line.removesuffix("\r")).strip():
            continue
        if "\0" in line or os.path.isdir(line):
            raise ValueError(f"{path}:{number}: {line!r} is not the path of a picture")
        sources[pathlib.Path(line)] = None
    if not sources:
        raise ValueError(f"{path}: no paths in this file")
    return list(sources)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(os.path.join(folder, ""))


def _common_folder(sources) -> str:
    return os.path.commonpath([os.path.dirname(os.path.abspath(source)) for source in sources])


def _jobs(names, sources, sharp, output_path, extension) -> list[Job]:
    output_path = pathlib.Path(output_path)
    if output_path.exists() and not output_path.is_dir():
        raise ValueError(f"{output_path}: is not a folder")
    jobs = []
    for name, source, sharp_file in zip(names, sources, sharp, strict=True):
        name = pathlib.Path(name).with_suffix(extension or source.suffix)
        jobs.append(Job(name.as_posix(), source, output_path / name, sharp_file))
    # By identity, so that links and letter case deceive nobody.
    read = {_identity(path) for job in jobs for path in (job.source, job.sharp) if path} - {None}
    targets = {}
    for job in jobs:
        if _identity(job.target) in read:
            raise ValueError(f"{job.target}: is a picture to read, and would be overwritten")
        other = targets.setdefault(job.target, job)
        if other is not job:
            raise ValueError(f"{job.source} and {other.source} would both become {job.target}")
    return jobs


def _identity(path) -> tuple | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def deblur_files(
    deblurrer,
    jobs: list[Job],
    *,
    overwrite: bool = False,
    quality: int = QUALITY,
    max_megapixels: float = MAX_MEGAPIXELS,
    batch_size: int = 1,
    finish=lambda job: None,
):
    """Restores pictures; reading and writing go on in threads while the network computes.

    A picture that fails does not stop the others. A full disk does.

    Args:
        deblurrer: has `deblur_batch`.
        jobs: what to restore.
        overwrite: whether to restore pictures again whose result is there.
        quality: 1 to 100, of JPEG and WebP.
        max_megapixels: larger pictures fail, millions of pixels.
        batch_size: up to how many pictures of equal size the network gets at once; fewer, where
            they are large.
        finish: called in a thread with each job whose result is there; may raise ValueError.

    Yields:
        A Result for each job, in their order.

    Raises:
        OSError: if the disk is full.
    """

    def read(job):
        if not overwrite and job.target.is_file():
            return None
        return read_picture(job.source, max_megapixels)

    def write(job, picture, pixels, seconds):
        notes = picture.notes
        picture = dataclasses.replace(picture, pixels=pixels)
        notes += write_picture(job.target, picture, quality)
        return finished(job, seconds, notes)

    def finished(job, seconds=None, notes=()):
        result = Result(job, True, seconds, notes)
        try:
            return dataclasses.replace(result, extra=finish(job))
        except (ValueError, OSError) as error:
            return dataclasses.replace(result, error=error)

    with (
        concurrent.futures.ThreadPoolExecutor(_WAITING) as readers,
        concurrent.futures.ThreadPoolExecutor(_WAITING) as writers,
    ):
        waiting, reading, writing = iter(jobs), collections.deque(), collections.deque()
        try:
            while True:
                while len(reading) < batch_size + _WAITING and (job := next(waiting, None)):
                    reading.append((job, readers.submit(read, job)))
                if not reading:
                    break
                group = _take_alike(reading, batch_size)
                pictures = [picture for _, picture in group]
                if isinstance(pictures[0], Exception):
                    writing.append((group[0][0], _done(pictures[0])))
                elif pictures[0] is None:
                    writing.append((group[0][0], writers.submit(finished, group[0][0])))
                else:
                    restored, seconds = _restore(deblurrer, pictures)
                    for (job, picture), pixels in zip(group, restored, strict=True):
                        if isinstance(pixels, Exception):
                            writing.append((job, _done(pixels)))
                        else:
                            future = writers.submit(write, job, picture, pixels, seconds)
                            writing.append((job, future))
                while len(writing) > _WAITING:
                    yield _result(*writing.popleft())
            while writing:
                yield _result(*writing.popleft())
        finally:
            for pool in (readers, writers):
                pool.shutdown(cancel_futures=True)


def _take_alike(reading, batch_size: int) -> list[tuple]:
    """The next picture, or exception, or None; and those behind it of the same size and kind."""
    group = []
    while reading and len(group) < batch_size:
        job, future = reading[0]
        try:
            picture = future.result()
        except Exception as error:  # whatever a damaged file makes a decoder do
            picture = error
        is_picture = isinstance(picture, Picture)
        if group and not (is_picture and _kind(picture) == _kind(group[0][1])):
            break
        if group and (len(group) + 1) * math.prod(picture.pixels.shape[:2]) > _BATCH_PIXELS:
            break
        reading.popleft()
        group.append((job, picture))
        if not is_picture:
            break
    return group


def _kind(picture: Picture) -> tuple:
    return picture.pixels.shape, picture.pixels.dtype


def _restore(deblurrer, pictures) -> tuple[list, float]:
    """The restored pixels, or for each picture the exception; and the seconds for each."""
    start = time.perf_counter()
    try:
        restored = list(deblurrer.deblur_batch(np.stack([p.pixels for p in pictures])))
    except Exception as error:  # one picture must not end the others' work
        restored = [error] * len(pictures)
    return restored, (time.perf_counter() - start) / len(pictures)


def _done(error: Exception) -> concurrent.futures.Future:
    future = concurrent.futures.Future()
    future.set_exception(error)
    return future


def _result(job: Job, future) -> Result:
    try:
        return future.result()
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return Result(job, error=error)


def explain(result: Result) -> str:
    """One line: the file, and why it failed."""
    error, source = result.error, str(result.job.source)
    text = str(error) or type(error).__name__
    text = text if source in text else f"{source}: {text}"
    # A name may hold a line break, or what a terminal obeys.
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
