"""Restoring many pictures: reading, network and writing at once."""

import collections
import concurrent.futures
import dataclasses
import errno
import logging
import math
import time
import typing
from collections.abc import Callable

import numpy as np

from srn_tf import UserError
from srn_tf.images.picture import MAX_MEGAPIXELS, QUALITY, Picture
from srn_tf.images.read import read_picture
from srn_tf.images.write import write_picture
from srn_tf.progress import printable
from srn_tf.restoration.jobs import Job

_LOG = logging.getLogger("srn_tf")
# Pictures that wait before and behind the network; each side has as many threads.
WAITING = 2
# Pixels that a batch has at most: larger pictures gain nothing from company.
BATCH_PIXELS = 2**21


class Restorer(typing.Protocol):
    """What restores pictures: `deblurrer.Deblurrer`, or `classical.ClassicalDeblurrer`.

    `blind.BlindDeblurrer` also tells what it decided on each picture, in `decisions`.
    """

    def deblur_batch(self, images: np.ndarray, on_tile: Callable[[int, int], None]) -> np.ndarray:
        """Pictures as `images` are, [batch, height, width] or with channels behind, restored.

        `on_tile` may be called after each tile with how many are done, and how many there are.
        """


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one picture.

    Attributes:
        job: the picture.
        restored: whether its file is there now.
        seconds: of the network; None if the file was there before, or the picture failed.
        notes: what the deblurrer decided, and what is not as it was, such as bits or alpha that
            the format cannot hold.
        error: why the picture failed, or why `finish` did.
        extra: what `finish` gave.
    """

    job: Job
    restored: bool = False
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    error: Exception | None = None
    extra: object = None


def deblur_files(
    deblurrer: Restorer,
    jobs: list[Job],
    *,
    overwrite: bool = False,
    quality: int = QUALITY,
    max_megapixels: float = MAX_MEGAPIXELS,
    batch_size: int = 1,
    on_tile=lambda done, total: None,
    finish=lambda job, decision: None,
):
    """Restores pictures; reading and writing go on in threads while the network computes.

    A picture that fails does not stop the others. A full disk does.

    Args:
        deblurrer: what restores them.
        jobs: what to restore.
        overwrite: whether to restore pictures again whose result is there.
        quality: 1 to 100, of JPEG and WebP.
        max_megapixels: larger pictures fail, millions of pixels.
        batch_size: up to how many pictures of equal size the network gets at once; fewer, where
            they are large.
        on_tile: called after each tile with how many of a batch are done, and how many there are.
        finish: called in a thread with each job whose result is there, and with the decision on
            it or None; may raise UserError.

    Yields:
        A Result for each job, in their order.

    Raises:
        OSError: if the disk is full.
    """

    def read(job):
        if not overwrite and job.target.is_file():
            return None
        return read_picture(job.source, max_megapixels)

    def write(job, picture, pixels, decision, seconds):
        notes = write_restored(job.target, picture, pixels, decision, quality)
        return finished(job, decision, seconds, notes)

    def finished(job, decision=None, seconds=None, notes=()):
        result = Result(job, True, seconds, notes)
        try:
            return dataclasses.replace(result, extra=finish(job, decision))
        except (UserError, OSError) as error:
            return dataclasses.replace(result, error=error)

    with (
        concurrent.futures.ThreadPoolExecutor(WAITING) as readers,
        concurrent.futures.ThreadPoolExecutor(WAITING) as writers,
    ):
        waiting, reading, writing = iter(jobs), collections.deque(), collections.deque()
        try:
            while True:
                while len(reading) < batch_size + WAITING and (job := next(waiting, None)):
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
                    restored, decisions, seconds = restore_alike(deblurrer, pictures, on_tile)
                    for (job, picture), pixels, decision in zip(
                        group, restored, decisions, strict=True
                    ):
                        if isinstance(pixels, Exception):
                            writing.append((job, _done(pixels)))
                        else:
                            future = writers.submit(write, job, picture, pixels, decision, seconds)
                            writing.append((job, future))
                while len(writing) > WAITING:
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
        if group and (len(group) + 1) * math.prod(picture.pixels.shape[:2]) > BATCH_PIXELS:
            break
        reading.popleft()
        group.append((job, picture))
        if not is_picture:
            break
    return group


def _kind(picture: Picture) -> tuple:
    return picture.pixels.shape, picture.pixels.dtype


def write_restored(target, picture: Picture, pixels, decision, quality: int) -> tuple[str, ...]:
    """Writes a picture with its restored pixels; gives `Result.notes`.

    Raises:
        UserError, OSError: as `write_picture`.
    """
    notes = picture.notes + ((decision.words,) if decision else ())
    picture = dataclasses.replace(picture, pixels=pixels)
    return notes + write_picture(target, picture, quality)


def restore_alike(
    deblurrer: Restorer, pictures: list[Picture], on_tile=lambda done, total: None
) -> tuple[list, list, float]:
    """Restores pictures of equal size and kind at once.

    Returns:
        Of each the restored pixels, or its exception; of each the decision, or None; the seconds
        a picture.
    """
    start = time.perf_counter()
    try:
        pixels = np.stack([picture.pixels for picture in pictures])
        restored = list(deblurrer.deblur_batch(pixels, on_tile))
        decisions = getattr(deblurrer, "decisions", None) or [None] * len(pictures)
    except Exception as error:  # one picture must not end the others' work
        restored, decisions = [error], [None]
        if len(pictures) > 1:
            alone = [restore_alike(deblurrer, [picture], on_tile) for picture in pictures]
            restored, decisions = ([results[i][0] for results in alone] for i in range(2))
    return restored, decisions, (time.perf_counter() - start) / len(pictures)


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
        if not isinstance(error, UserError | OSError | MemoryError | FloatingPointError):
            # A mistake of our own.
            _LOG.error("%s: %s", job.source, type(error).__name__, exc_info=error)
        return Result(job, error=error)


def explain(result: Result) -> str:
    """One line: the file, and why it failed."""
    error, source = result.error, str(result.job.source)
    text = str(error) or type(error).__name__
    return printable(text if source in text else f"{source}: {text}")
