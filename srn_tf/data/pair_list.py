"""Data lists: one pair a line, `sharp blurred`, paths below a root folder.

The order of the two is that of the authors' lists. Blank lines and lines that begin with # are
passed over.
"""

import dataclasses
import functools
import os
import pathlib

import cv2
import numpy as np

from srn_tf import UserError
from srn_tf.data.checks import check_headers, refuse, refuse_if_small
from srn_tf.data.examples import content_mark, random_crop
from srn_tf.images.files import as_stored, from_list, read_lines
from srn_tf.images.rgb import read_rgb

_SAMPLED = 9
_LESS_DETAIL = 0.9  # what rounding alone may do stays above


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
        UserError: if there is no folder `root` or it cannot be read; for lines that are not two
            paths and for missing files: how many there are, and the first ten as file:line.
    """
    path, root = pathlib.Path(path), pathlib.Path(root)
    lines = read_lines(path)
    try:
        os.scandir(root).close()
    except OSError as error:
        raise UserError(f"{root}: cannot be read as a folder ({error.strerror})") from None
    pairs, problems = [], []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}:{number}"
        if len(words) != 2:
            problems.append(f"{where}: expected `sharp blurred`, found {len(words)} words")
            continue
        sharp, blurred = (as_stored(root / from_list(word)) for word in words)
        pair = Pair(sharp, blurred, where, " ".join(words))
        missing = [file for file in (pair.sharp, pair.blurred) if not os.path.isfile(file)]
        problems += [f"{where}: no such file: {file}" for file in missing]
        pairs.append(pair)
    refuse(problems)
    if not pairs:
        raise UserError(f"{path}: no pairs in this list")
    return pairs


def _check_order(pairs: list[Pair]) -> None:
    """Refuses pairs most of which have less detail in the sharp picture, from a few of them."""
    places = np.unique(np.linspace(0, len(pairs) - 1, _SAMPLED).round().astype(int))
    sampled = [pairs[place] for place in places]
    swapped = [
        pair for pair in sampled if _detail(pair.sharp) < _LESS_DETAIL * _detail(pair.blurred)
    ]
    if 2 * len(swapped) > len(sampled):
        raise UserError(
            f"{swapped[0].where}: the columns look swapped: on {len(swapped)} of {len(sampled)} "
            "lines sampled, the first picture has less detail than the second; a line is `sharp "
            "blurred`"
        )


def _detail(path) -> float:
    """Variance of the Laplacian of the gray picture, the usual measure of sharpness."""
    gray = cv2.cvtColor(read_rgb(path), cv2.COLOR_RGB2GRAY)
    return cv2.Laplacian(gray, cv2.CV_32F).var()


class PairSource:
    """Random crops of the pairs of a data list; see `examples.Source`.

    Args:
        datalist, root: as for `read_list`.
        crop_size: side of the crops, in pixels.
        check: look at the headers of all pictures, and at a few pairs for their order.

    Raises:
        UserError: as `read_list` and `check_headers`; if sharp and blurred look swapped.
    """

    pictures = 2

    def __init__(self, datalist, root, crop_size: int, check: bool = True):
        self.pairs = read_list(datalist, root)
        self.crop_size = crop_size
        self.names = [pair.text for pair in self.pairs]
        self.notes = []
        if check:
            groups = [(f"{pair.where}: ", (pair.sharp, pair.blurred)) for pair in self.pairs]
            self.notes = check_headers(groups, crop_size)
            _check_order(self.pairs)

    @functools.cached_property
    def content_marks(self) -> list[str]:
        return [content_mark(pair.sharp, pair.blurred) for pair in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), whole: both uint8 [height, width, 3].

        Raises:
            UserError: if a picture cannot be read, or they differ in size.
        """
        pair = self.pairs[index]
        blurred, sharp = read_rgb(pair.blurred), read_rgb(pair.sharp)
        if blurred.shape != sharp.shape:
            raise UserError(f"{pair.where}: {pair.sharp} and {pair.blurred} differ in size")
        return blurred, sharp

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The same random crop of both pictures of a pair.

        Raises:
            UserError: as `read`.
        """
        pictures = self.read(index)
        pair = self.pairs[index]
        refuse_if_small(f"{pair.where}: {pair.sharp}", pictures[0], self.crop_size)
        return random_crop(rng, pictures, self.crop_size)


LIST = "pairs.txt"
