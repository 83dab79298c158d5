"""Data lists: one pair a line, `sharp blurred`, paths below a root folder.

The order of the two is that of the authors' lists. Blank lines and lines that begin with # are
passed over.
"""

import dataclasses
import pathlib

import numpy as np

from srn_tf.images import image_size, read_image

_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Pair:
    """Paths of a sharp picture and the same picture blurred, and the line of the list they are on.

    `where` is file:line, `text` what the line says.
    """

    sharp: pathlib.Path
    blurred: pathlib.Path
    where: str
    text: str


def read_list(path, root) -> list[Pair]:
    """The pairs of a data list.

    Raises:
        ValueError: for lines that are not two paths and for missing files: how many there are, and
            the first ten as file:line.
    """
    path, root = pathlib.Path(path), pathlib.Path(root)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a data list ({error})") from None
    pairs, problems = [], []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}:{number}"
        if len(words) != 2:
            problems.append(f"{where}: expected `sharp blurred`, found {len(words)} words")
            continue
        pair = Pair(root / words[0], root / words[1], where, " ".join(words))
        missing = [file for file in (pair.sharp, pair.blurred) if not file.is_file()]
        problems += [f"{where}: no such file: {file}" for file in missing]
        pairs.append(pair)
    refuse(problems)
    if not pairs:
        raise ValueError(f"{path}: no pairs in this list")
    return pairs


def size_problem(path, crop_size: int) -> str:
    """Why a picture cannot be cropped, from its header alone; empty if it can."""
    try:
        height, width = image_size(path)
    except ValueError as error:
        return str(error)
    too_small = min(height, width) < crop_size
    return f"{path}: {width}x{height} is smaller than the crop of {crop_size}" if too_small else ""


def refuse(problems: list[str]) -> None:
    """Raises ValueError if there are problems: how many, and the first ten."""
    if problems:
        rest = len(problems) - _SHOWN
        more = [f"and {rest} more"] if rest > 0 else []
        heading = f"the data cannot be used; problems: {len(problems)}"
        raise ValueError("\n  ".join([heading, *problems[:_SHOWN], *more]))


class PairSource:
    """Random crops of the pairs of a data list.

    A source has a length and gives, for an index and a random generator, one training example:
    (blurred, sharp), both uint8 [crop_size, crop_size, 3]. `names` says what the examples are.

    Raises:
        ValueError: as `read_list`; for pictures that are smaller than the crop, and for pairs of
            different size.
    """

    def __init__(self, datalist, root, crop_size: int):
        self.pairs = read_list(datalist, root)
        self.crop_size = crop_size
        self.names = [pair.text for pair in self.pairs]
        problems = []
        for pair in self.pairs:
            files = (pair.sharp, pair.blurred)
            found = [problem for file in files if (problem := size_problem(file, crop_size))]
            if not found and image_size(pair.sharp) != image_size(pair.blurred):
                found = [f"{pair.sharp} and {pair.blurred} differ in size"]
            problems += [f"{pair.where}: {problem}" for problem in found]
        refuse(problems)

    def __len__(self) -> int:
        return len(self.pairs)

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The same random crop of both pictures of a pair.

        Raises:
            ValueError: if a picture cannot be read.
        """
        pair = self.pairs[index]
        blurred, sharp = read_image(pair.blurred), read_image(pair.sharp)
        if blurred.shape != sharp.shape:
            raise ValueError(f"{pair.where}: {pair.sharp} and {pair.blurred} differ in size")
        top, left = random_corner(rng, sharp.shape, self.crop_size)
        window = np.s_[top : top + self.crop_size, left : left + self.crop_size]
        return blurred[window], sharp[window]


def random_corner(rng: np.random.Generator, shape, size: int) -> tuple[int, int]:
    """Top and left of a random square window of `size` inside [height, width, ...]."""
    return int(rng.integers(shape[0] - size + 1)), int(rng.integers(shape[1] - size + 1))
