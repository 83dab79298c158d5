"""Data lists: one pair a line, `sharp blurred`, paths below a root folder.

The order of the two is that of the authors' lists. Blank lines and lines that begin with # are
passed over.
"""

import dataclasses
import pathlib

import numpy as np

from srn_tf.images import find_images, image_size, read_image

_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Pair:
    """Paths of a sharp picture and the same picture blurred."""

    sharp: pathlib.Path
    blurred: pathlib.Path


def read_list(path, root) -> list[Pair]:
    """The pairs of a data list.

    Raises:
        ValueError: for lines that are not two paths and for missing files: how many there are, and
            the first ten as file:line.
    """
    path, root = pathlib.Path(path), pathlib.Path(root)
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a data list ({error})") from None
    pairs, offenders = [], []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            offenders.append(f"{path}:{number}: expected `sharp blurred`, found {len(words)} words")
            continue
        pair = Pair(*(root / word for word in words))
        missing = [file for file in (pair.sharp, pair.blurred) if not file.is_file()]
        offenders += [f"{path}:{number}: no such file: {file}" for file in missing]
        pairs.append(pair)
    _refuse(offenders, f"{path}: {len(offenders)} problems")
    if not pairs:
        raise ValueError(f"{path}: no pairs in this list")
    return pairs


def check_sizes(paths, crop_size: int) -> None:
    """Reads the headers of all pictures and refuses those that are smaller than the crop.

    Raises:
        ValueError: naming the pictures that are too small or cannot be read.
    """
    offenders = []
    for path in paths:
        try:
            height, width = image_size(path)
        except ValueError as error:
            offenders.append(str(error))
            continue
        if min(height, width) < crop_size:
            offenders.append(f"{path}: {width}x{height} is smaller than the crop of {crop_size}")
    _refuse(offenders, f"{len(offenders)} pictures cannot be used")


def _refuse(offenders: list[str], heading: str) -> None:
    if offenders:
        rest = len(offenders) - _SHOWN
        more = [f"and {rest} more"] if rest > 0 else []
        raise ValueError("\n  ".join([heading, *offenders[:_SHOWN], *more]))


class PairSource:
    """Random crops of the pairs of a data list.

    A source has a length and gives, for an index and a random generator, one training example:
    (blurred, sharp), both uint8 [crop_size, crop_size, 3].
    """

    def __init__(self, datalist, root, crop_size: int):
        self.pairs = read_list(datalist, root)
        self.crop_size = crop_size
        check_sizes((p for pair in self.pairs for p in (pair.sharp, pair.blurred)), crop_size)

    def __len__(self) -> int:
        return len(self.pairs)

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The same random crop of both pictures of a pair.

        Raises:
            ValueError: if a picture cannot be read, or the two differ in size.
        """
        pair = self.pairs[index]
        blurred, sharp = read_image(pair.blurred), read_image(pair.sharp)
        if blurred.shape != sharp.shape:
            raise ValueError(
                f"{pair.blurred} is {_size(blurred)} but {pair.sharp} is {_size(sharp)}: "
                "the two pictures of a pair must have the same size"
            )
        top, left = random_corner(rng, sharp.shape, self.crop_size)
        window = np.s_[top : top + self.crop_size, left : left + self.crop_size]
        return blurred[window], sharp[window]


def random_corner(rng: np.random.Generator, shape, size: int) -> tuple[int, int]:
    """Top and left of a random square window of `size` inside [height, width, ...]."""
    return int(rng.integers(shape[0] - size + 1)), int(rng.integers(shape[1] - size + 1))


def _size(image) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def photographs(folder, crop_size: int) -> list[pathlib.Path]:
    """The pictures of a folder, all of them at least as large as the crop.

    Raises:
        ValueError: as `find_images` and `check_sizes`.
    """
    paths = find_images(folder)
    check_sizes(paths, crop_size)
    return paths
