"""Data lists of the folders in which data sets of pairs come.

    GOPRO           SEQUENCE/sharp/000001.png       SEQUENCE/blur/000001.png, or blur_gamma
    input, target   target/1.png                    input/1.png
    REDS            train_sharp/000/00000000.png    train_blur/000/00000000.png
    RealBlur        scene001/gt/gt_1.png            scene001/blur/blur_1.png

So a pair has the same path below two neighbouring folders, but for the extension and RealBlur's
first word.
"""

import dataclasses
import pathlib
import unicodedata

from srn_tf import UserError
from srn_tf.data.checks import path_problem, refuse
from srn_tf.images.files import find_images
from srn_tf.images.read import read_kind

# Folder of sharp pictures -> folder of blurred ones.
FOLDERS = {
    "sharp": "blur",
    "target": "input",
    "train_sharp": "train_blur",
    "val_sharp": "val_blur",
    "gt": "blur",
}
GAMMA_FOLDERS = {"sharp": "blur_gamma"}


@dataclasses.dataclass(frozen=True)
class FoundPairs:
    """What a folder holds. Paths are relative to it, with slashes, in their order.

    Attributes:
        pairs: (sharp, blurred).
        alone: pictures of the layout without partner.
        of_different_size: (sharp, blurred), which are not among `pairs`.
    """

    pairs: list[tuple[str, str]]
    alone: list[str]
    of_different_size: list[tuple[str, str]]


def find_pairs(root, gamma: bool = False) -> FoundPairs:
    """The pairs below a folder, in any of the layouts.

    Args:
        root: where to look.
        gamma: take GOPRO's blur_gamma for the blurred ones, and look for nothing else.

    Raises:
        UserError: if there is no such folder or nothing in one of the layouts; for pictures that
            cannot be read, paths that a list cannot hold, and two files for one picture.
    """
    folders = GAMMA_FOLDERS if gamma else FOLDERS
    sharp, blurred, problems = {}, {}, []
    for path in find_images(root, recursive=True):
        path = path.relative_to(root)
        place = next((p for p in path.parents if p.name in {*folders, *folders.values()}), None)
        if place is None:
            continue
        stem = path.stem.removeprefix("gt_").removeprefix("blur_")
        key = (
            place.parent,
            folders.get(place.name, place.name),
            # Composed, as one of two copies may have been on a Mac.
            unicodedata.normalize("NFC", str(path.relative_to(place).with_name(stem))),
        )
        side = sharp if place.name in folders else blurred
        if key in side:
            problems.append(f"{side[key]} and {path}: two files for one picture")
        problems += filter(None, [path_problem(path.as_posix())])
        side[key] = path.as_posix()
    if not sharp and not blurred:
        known = ", ".join(f"{a} and {b}" for a, b in folders.items())
        raise UserError(f"{root}: none of the folders of pairs that are known here ({known})")
    found = FoundPairs([], [], [])
    found.alone.extend(sorted((sharp | blurred)[key] for key in sharp.keys() ^ blurred.keys()))
    for key in sharp.keys() & blurred.keys():
        pair = sharp[key], blurred[key]
        try:
            sizes = {read_kind(pathlib.Path(root, path)).shape for path in pair}
            (found.pairs if len(sizes) == 1 else found.of_different_size).append(pair)
        except UserError as error:
            problems.append(str(error))
    refuse(sorted(problems))
    found.pairs.sort()
    found.of_different_size.sort()
    return found
