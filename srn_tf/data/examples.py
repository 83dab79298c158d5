"""Training examples: crops, batches by position, and what says whether data is the same.

Position p of a run is example p % n of epoch p // n, in an order shuffled anew every epoch. What is
at a position is a function of (seed, position) alone: a run can start at any step and sees what it
would have seen, and several workers can each make their rows of the same batches.
"""

import functools
import hashlib
import os
import typing
import zlib

import numpy as np

_MARKED = 64 * 1024  # bytes at each end of a file


class Source(typing.Protocol):
    """Where training examples come from.

    Attributes:
        crop_size: side of the crops, in pixels.
        names: what the examples are, a text for each.
        content_marks: a text for each that changes with its pixels, most likely.
        notes: what the user should know of them, a line each.
        pictures: of each example, 2 or more.
    """

    crop_size: int
    pictures: int
    names: list[str]
    content_marks: list[str]
    notes: list[str]

    def __len__(self) -> int: ...

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The blurred picture, what comes with it, if anything, and the sharp one, each uint8
        [crop_size, crop_size, 3]; UserError if they cannot be had."""
        ...


def random_crop(rng: np.random.Generator, pictures, size: int) -> tuple[np.ndarray, ...]:
    """The same random square window of `size` of pictures [height, width, 3]; views, no copies."""
    top, left = random_corner(rng, pictures[0].shape, size)
    return tuple(picture[top : top + size, left : left + size] for picture in pictures)


def random_corner(rng: np.random.Generator, shape, size: int) -> tuple[int, int]:
    """Top and left of a random square window of `size` inside [height, width, ...]."""
    return int(rng.integers(shape[0] - size + 1)), int(rng.integers(shape[1] - size + 1))


@functools.lru_cache(2)
def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Which example comes when in an epoch: a permutation of `count`."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def make_batch(source: Source, positions, seed: int) -> np.ndarray:
    """The examples at some positions of a run.

    Args:
        source: of the examples.
        positions: counted from the first example of the run.
        seed: of order and crops.

    Returns:
        uint8 [source.pictures, len(positions), size, size, 3].

    Raises:
        UserError: as the source.
    """
    size, count = source.crop_size, len(source)
    pixels = np.empty((source.pictures, len(positions), size, size, 3), np.uint8)
    for row, position in enumerate(map(int, positions)):
        index = int(order(seed, position // count, count)[position % count])
        rng = np.random.default_rng([seed, position])
        for place, picture in zip(pixels[:, row], source.example(index, rng), strict=True):
            place[...] = picture
    return pixels


def content_mark(*paths) -> str:
    """What changes with the content of files, most likely: their size in bytes, and a checksum of
    the first and last 64 KiB of each."""
    size = checksum = 0
    for path in paths:
        with open(path, "rb") as file:
            checksum = zlib.crc32(file.read(_MARKED), checksum)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - _MARKED))
            checksum = zlib.crc32(file.read(), checksum)
        size += end
    return f"{size} {checksum:08x}"


def fingerprint(source: Source, sizes_alone: bool = False) -> dict:
    """What says whether data is the same: order and crops follow from seed and position only
    while it stays what it was.

    Args:
        source: of the examples.
        sizes_alone: leave out the checksums, as the first runs did.
    """
    marks = [mark.split()[0] if sizes_alone else mark for mark in source.content_marks]
    lines = (f"{mark} {name}\n" for mark, name in zip(marks, source.names, strict=True))
    digest = hashlib.sha256("".join(lines).encode(errors="surrogateescape"))
    return {"examples": len(source), "sha256": digest.hexdigest()}
