"""Data lists: one pair a line, `sharp blurred`, paths below a root folder.

The order of the two is that of the authors' lists. Blank lines and lines that begin with # are
passed over.
"""

import contextlib
import dataclasses
import os
import pathlib
import struct

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from srn_tf.images.rgb import read_image

_SHOWN = 10
_SAMPLED = 9
_LESS_DETAIL = 0.9  # what rounding alone may do stays above
_ORIENTATION = 0x0112


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
        ValueError: if there is no folder `root` or it cannot be read; for lines that are not two
            paths and for missing files: how many there are, and the first ten as file:line.
    """
    path, root = pathlib.Path(path), pathlib.Path(root)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a data list ({error})") from None
    try:
        os.scandir(root).close()
    except OSError as error:
        raise ValueError(f"{root}: cannot be read as a folder ({error.strerror})") from None
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
        missing = [file for file in (pair.sharp, pair.blurred) if not os.path.isfile(file)]
        problems += [f"{where}: no such file: {file}" for file in missing]
        pairs.append(pair)
    refuse(problems)
    if not pairs:
        raise ValueError(f"{path}: no pairs in this list")
    return pairs


def path_problem(path: str) -> str:
    """Why a data list cannot hold a path; empty if it can."""
    rules = [
        (len(path.split()) == 1, "with spaces"),
        (not path.startswith("#"), "that begins with #, as comments do"),
        (path.encode(errors="ignore").decode() == path, "that is not UTF-8"),
    ]
    return next((f"{path}: a list cannot hold a path {what}" for ok, what in rules if not ok), "")


def read_header(path) -> tuple[tuple[int, int], bool]:
    """((height, width) of the picture turned upright, whether it has one channel), undecoded.

    Raises:
        ValueError: if the file has no readable header.
    """
    try:
        with Image.open(path) as image:
            size, one_channel = (image.height, image.width), image.mode[0] in "1LI"
            turned = _exif(image).get(_ORIENTATION) in (5, 6, 7, 8)
    except (OSError, Image.DecompressionBombError) as error:
        reason = "of no known format" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"{path}: not a picture that can be read ({reason})") from None
    return size[::-1] if turned else size, one_channel


def _exif(image: Image.Image) -> Image.Exif:
    """What OpenCV turns pictures by, but for TIFFs, which Pillow gives the size of when turned.

    Pillow's own getexif would decode a PNG, and ask its XMP, too.
    """
    exif = Image.Exif()
    with contextlib.suppress(SyntaxError, ValueError, struct.error):  # damaged: there is none
        exif.load(image.info.get("exif", b""))
    return exif


def check_headers(groups, crop_size: int) -> list[str]:
    """Notes on pictures for training, from their headers.

    Args:
        groups: (text before a problem, paths of pictures that must be of one size).
        crop_size: what no side may be smaller than.

    Raises:
        ValueError: if a picture cannot be read or is smaller than the crop, or a group has pictures
            of different size: how many problems, and the first ten.
    """
    problems, one_channel = [], []
    for where, paths in groups:
        found, sizes = [], set()
        for path in paths:
            try:
                size, is_gray = read_header(path)
            except ValueError as error:
                found.append(str(error))
                continue
            found += filter(None, [size_problem(path, size, crop_size)])
            sizes.add(size)
            one_channel += [path] * is_gray
        if not found and len(sizes) > 1:
            found = [f"{' and '.join(map(str, paths))} differ in size"]
        problems += [where + problem for problem in found]
    refuse(problems)
    if not one_channel:
        return []
    return [
        f"pictures of one channel: {len(one_channel)}, as gray RGB; the first: {one_channel[0]}"
    ]


def size_problem(what, size: tuple[int, int], crop_size: int) -> str:
    """Why a picture of (height, width) cannot be cropped; empty if it can."""
    height, width = size
    too_small = min(size) < crop_size
    return f"{what}: {width}x{height} is smaller than the crop of {crop_size}" if too_small else ""


def _check_order(pairs: list[Pair]) -> None:
    """Refuses pairs most of which have less detail in the sharp picture, from a few of them."""
    places = np.unique(np.linspace(0, len(pairs) - 1, _SAMPLED).round().astype(int))
    sampled = [pairs[place] for place in places]
    swapped = [
        pair for pair in sampled if _detail(pair.sharp) < _LESS_DETAIL * _detail(pair.blurred)
    ]
    if 2 * len(swapped) > len(sampled):
        raise ValueError(
            f"{swapped[0].where}: the columns look swapped: on {len(swapped)} of {len(sampled)} "
            "lines sampled, the first picture has less detail than the second; a line is `sharp "
            "blurred`"
        )


def _detail(path) -> float:
    """Variance of the Laplacian of the gray picture, the usual measure of sharpness."""
    gray = cv2.cvtColor(read_image(path), cv2.COLOR_RGB2GRAY)
    return cv2.Laplacian(gray, cv2.CV_32F).var()


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
    (blurred, sharp), both uint8 [crop_size, crop_size, 3]. `names` says what the examples are, and
    `stamps` has a number for each that changes with its pixels, most likely; `notes` is what the
    user should know of them.

    Raises:
        ValueError: as `read_list` and `check_headers`; if sharp and blurred look swapped.
    """

    def __init__(self, datalist, root, crop_size: int):
        self.pairs = read_list(datalist, root)
        self.crop_size = crop_size
        self.names = [pair.text for pair in self.pairs]
        groups = [(f"{pair.where}: ", (pair.sharp, pair.blurred)) for pair in self.pairs]
        self.notes = check_headers(groups, crop_size)
        self.stamps = [sum(map(os.path.getsize, (p.sharp, p.blurred))) for p in self.pairs]
        _check_order(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp), whole: both uint8 [height, width, 3].

        Raises:
            ValueError: if a picture cannot be read, or they differ in size.
        """
        pair = self.pairs[index]
        blurred, sharp = read_image(pair.blurred), read_image(pair.sharp)
        if blurred.shape != sharp.shape:
            raise ValueError(f"{pair.where}: {pair.sharp} and {pair.blurred} differ in size")
        return blurred, sharp

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The same random crop of both pictures of a pair.

        Raises:
            ValueError: as `read`.
        """
        pictures = self.read(index)
        pair = self.pairs[index]
        refuse_if_small(f"{pair.where}: {pair.sharp}", pictures[0], self.crop_size)
        return random_crop(rng, pictures, self.crop_size)


def refuse_if_small(what, picture: np.ndarray, crop_size: int) -> None:
    """Raises ValueError for a picture smaller than the crop: it may have changed since its header
    was looked at."""
    if problem := size_problem(what, picture.shape[:2], crop_size):
        raise ValueError(problem)


def random_crop(rng: np.random.Generator, pictures, size: int) -> tuple[np.ndarray, ...]:
    """The same random square window of `size` of pictures [height, width, 3]; views, no copies."""
    top, left = random_corner(rng, pictures[0].shape, size)
    return tuple(picture[top : top + size, left : left + size] for picture in pictures)


def random_corner(rng: np.random.Generator, shape, size: int) -> tuple[int, int]:
    """Top and left of a random square window of `size` inside [height, width, ...]."""
    return int(rng.integers(shape[0] - size + 1)), int(rng.integers(shape[1] - size + 1))
