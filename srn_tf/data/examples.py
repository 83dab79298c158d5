"""Training examples: crops, batches by position, and what says whether data is the same.

Position p of a run is example p % n of epoch p // n, in an order shuffled anew every epoch. What is
at a position is a function of (seed, position) alone: a run can start at any step and sees what it
would have seen, and several workers can each make their rows of the same batches.
"""

import functools
import hashlib

import numpy as np


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


def make_batch(source, positions, seed: int) -> np.ndarray:
    """The examples at some positions of a run.

    Args:
        source: has a length, `crop_size`, and `example(index, rng)` -> pictures, uint8 [size, size,
            3]: the blurred one, what comes with it, if anything, and the sharp one.
        positions: counted from the first example of the run.
        seed: of order and crops.

    Returns:
        uint8 [pictures, len(positions), size, size, 3].

    Raises:
        ValueError: as the source.
    """
    count, pixels = len(source), None
    for row, position in enumerate(map(int, positions)):
        index = int(order(seed, position // count, count)[position % count])
        rng = np.random.default_rng([seed, position])
        pictures = source.example(index, rng)
        if pixels is None:
            pixels = np.empty((len(pictures), len(positions), *pictures[0].shape), np.uint8)
        for place, picture in zip(pixels[:, row], pictures, strict=True):
            place[...] = picture
    return pixels


def fingerprint(source) -> dict:
    """What says whether data is the same: order and crops follow from seed and position only
    while it stays what it was."""
    lines = (f"{stamp} {name}\n" for stamp, name in zip(source.stamps, source.names, strict=True))
    digest = hashlib.sha256("".join(lines).encode(errors="surrogateescape"))
    return {"examples": len(source), "sha256": digest.hexdigest()}
