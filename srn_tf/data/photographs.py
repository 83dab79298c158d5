"""Training pairs from sharp photographs, with blur made by `camera_shake`."""

import functools
import math
import pathlib

import cv2
import numpy as np

from srn_tf.atomic import atomic_folder
from srn_tf.data.camera import Camera
from srn_tf.data.camera_shake import shake
from srn_tf.data.checks import check_headers, path_problem, refuse, refuse_if_small
from srn_tf.data.examples import random_corner
from srn_tf.data.packed import pack
from srn_tf.data.pair_list import LIST
from srn_tf.data.pool import process_pool
from srn_tf.images.files import find_images
from srn_tf.images.rgb import read_image, write_image

# Frames of videos and quick snaps see a short, nearly straight piece of what a hand does.
_EXPOSURES = (0.2, 1.0)


class SyntheticSource:
    """Random crops of a folder's sharp photographs with random blur; see `pair_list.PairSource`.

    Args:
        folder: photographs, each at least `crop_size` wide and high.
        crop_size: side of the crops in pixels.
        max_blur, min_blur: the extent of the path is drawn evenly between them, in pixels.
        magnify: half of the photographs are enlarged before they are blurred, by up to this factor:
            small photographs are sharper from pixel to pixel than the frames of a video.
        keep_sharp: this part of the crops gets no blur, so that a network learns to leave sharp
            pictures alone.
        camera, target, light: as for `shake`.

    Raises:
        ValueError: if there is no such folder, or a photograph is smaller than the crop.
    """

    def __init__(
        self,
        folder,
        crop_size: int,
        max_blur: float,
        min_blur: float = 0.0,
        magnify: float = 1.0,
        keep_sharp: float = 0.0,
        camera: Camera | None = None,
        target: str = "middle",
        light: str = "mixed",
    ):
        self.paths = find_images(folder)
        self.names = [path.name for path in self.paths]
        self.notes = check_headers([("", (path,)) for path in self.paths], crop_size)
        self.stamps = [path.stat().st_size for path in self.paths]
        self.crop_size, self.min_blur, self.max_blur = crop_size, min_blur, max_blur
        self.magnify, self.keep_sharp = magnify, keep_sharp
        self._shake = functools.partial(shake, camera=camera, target=target, light=light)

    def __len__(self) -> int:
        return len(self.paths)

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp) crop, both uint8 [crop_size, crop_size, 3].

        Raises:
            ValueError: if the photograph cannot be read.
        """
        photo = read_image(self.paths[index])
        refuse_if_small(self.paths[index], photo, self.crop_size)
        factor = max(1.0, rng.uniform(2 - self.magnify, self.magnify))
        if factor > 1:
            photo = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        size = self.crop_size
        top, left = random_corner(rng, photo.shape, size)
        keep = rng.random() < self.keep_sharp
        extent = 0.0 if keep else rng.uniform(self.min_blur, self.max_blur)
        exposure = rng.uniform(*_EXPOSURES)
        blurred = self._shake(photo, rng, extent, (top, left, size, size), exposure)
        return blurred, photo[top : top + size, left : left + size]


class DrawnPairs:
    """Pairs of a `SyntheticSource`, drawn once, as `packed.pack` wants them.

    The photographs take turns in an order shuffled anew each time. Pair i depends on the source,
    the seed and i alone, whoever draws it.

    Args:
        source: gives crops, which become the pictures of the pairs.
        count: how many pairs.
        seed: of order, crops and blur.
    """

    def __init__(self, source: SyntheticSource, count: int, seed: int):
        self._source, self._seed = source, seed
        rounds = math.ceil(count / len(source))
        shuffled = [
            np.random.default_rng([seed, r]).permutation(len(source)) for r in range(rounds)
        ]
        self._order = [int(index) for index in np.concatenate(shuffled)[:count]]
        self.names = [f"{source.names[index]} {i}" for i, index in enumerate(self._order)]
        self.notes = source.notes

    def __len__(self) -> int:
        return len(self._order)

    def read(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Pair i: (blurred, sharp), uint8 [crop_size, crop_size, 3]."""
        return self._source.example(self._order[i], np.random.default_rng([self._seed, i]))


def pack_pairs(
    source: SyntheticSource, path, count: int, seed: int, jobs: int = 0, advance=lambda: None
) -> None:
    """Draws pairs once and writes them into a store, as many at a time as there are cores.

    The same arguments give the same file to the last byte, whatever `jobs` is.

    Args:
        source: gives crops, which become the pictures of the pairs.
        path: the file, as for `packed.pack`.
        count: how many pairs.
        seed: of order, crops and blur.
        jobs: processes; 0: one for each core.
        advance: called after each pair.

    Raises:
        ValueError: as `packed.pack` and the source.
    """
    pack(DrawnPairs(source, count, seed), path, advance, process_pool(jobs))


def write_pairs(photos, folder, extent: float, seed: int, advance=lambda: None) -> None:
    """Blurs photographs, each with a camera path of the same extent, and writes the pairs.

        folder/pairs.txt        sharp blurred, a pair a line
        folder/sharp/NAME.png
        folder/blur/NAME.png

    Args:
        photos: paths of sharp photographs.
        folder: to write, whole or not at all; it must not exist.
        extent: of the camera's paths, in pixels.
        seed: of the blur; that of each photograph also depends on its place among them.
        advance: called after each photograph.

    Raises:
        ValueError: if `folder` exists, two photographs have one name, one has a name that a list
            cannot hold, or one cannot be read.
    """
    names = [f"{pathlib.Path(photo).stem}.png" for photo in photos]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two photographs would become {name}; rename one")
    refuse([problem for name in names if (problem := path_problem(f"sharp/{name}"))])
    with atomic_folder(folder) as temporary:
        for i, (photo, name) in enumerate(zip(photos, names, strict=True)):
            sharp = read_image(photo)
            write_image(temporary / "sharp" / name, sharp)
            blurred = shake(sharp, np.random.default_rng([seed, i]), extent)
            write_image(temporary / "blur" / name, blurred)
            advance()
        lines = (f"sharp/{name} blur/{name}\n" for name in names)
        (temporary / LIST).write_text("".join(lines))
