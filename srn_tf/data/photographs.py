"""Training pairs from sharp photographs, with blur made by `camera_shake`."""

import functools
import pathlib

import cv2
import numpy as np

from srn_tf import UserError
from srn_tf.atomic import atomic_folder
from srn_tf.data.camera import Camera, out_of_focus
from srn_tf.data.camera_shake import shake
from srn_tf.data.checks import check_headers, path_problem, refuse, refuse_if_small
from srn_tf.data.examples import content_mark, random_corner
from srn_tf.data.pair_list import LIST
from srn_tf.images.files import find_images, for_list
from srn_tf.images.rgb import read_rgb, write_image

# Frames of videos and quick snaps see a short, nearly straight piece of what a hand does.
_EXPOSURES = (0.2, 1.0)


class SyntheticSource:
    """Random crops of a folder's sharp photographs with random blur; see `examples.Source`.

    Args:
        folder: photographs, each at least `crop_size` wide and high.
        crop_size: side of the crops in pixels.
        max_blur, min_blur: the extent of the path is drawn evenly between them, in pixels.
        magnify: half of the photographs are enlarged before they are blurred, by up to this factor:
            small photographs are sharper from pixel to pixel than the frames of a video.
        keep_sharp: this part of the crops gets no blur, so that a network learns to leave sharp
            pictures alone.
        shallow: parts of this part of the photographs are out of focus, in both pictures of a pair,
            so that a network learns to leave that alone, too.
        camera, target, light, moving_part: as for `shake`.
        check: look at the headers of all photographs.

    Raises:
        UserError: if there is no such folder, or a photograph is smaller than the crop.
    """

    pictures = 2

    def __init__(
        self,
        folder,
        crop_size: int,
        *,
        max_blur: float,
        min_blur: float = 0.0,
        magnify: float = 1.0,
        keep_sharp: float = 0.0,
        shallow: float = 0.0,
        camera: Camera | None = None,
        target: str = "middle",
        light: str = "mixed",
        moving_part: float = 0.3,
        check: bool = True,
    ):
        self.paths = find_images(folder)
        self.names = [path.name for path in self.paths]
        groups = [("", (path,)) for path in self.paths] if check else []
        self.notes = check_headers(groups, crop_size)
        self.crop_size, self.min_blur, self.max_blur = crop_size, min_blur, max_blur
        self.magnify, self.keep_sharp, self.shallow = magnify, keep_sharp, shallow
        # A camera that does nothing averages and rounds.
        camera = None if camera == Camera() else camera
        self._shake = functools.partial(
            shake, camera=camera, target=target, light=light, moving_part=moving_part
        )

    @functools.cached_property
    def content_marks(self) -> list[str]:
        return [content_mark(path) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp) crop, both uint8 [crop_size, crop_size, 3].

        Raises:
            UserError: if the photograph cannot be read.
        """
        photo = read_rgb(self.paths[index])
        refuse_if_small(self.paths[index], photo, self.crop_size)
        factor = max(1.0, rng.uniform(2 - self.magnify, self.magnify))
        if factor > 1:
            photo = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        if self.shallow and rng.random() < self.shallow:
            photo = out_of_focus(photo, rng)
        size = self.crop_size
        top, left = random_corner(rng, photo.shape, size)
        keep = rng.random() < self.keep_sharp
        extent = 0.0 if keep else rng.uniform(self.min_blur, self.max_blur)
        exposure = rng.uniform(*_EXPOSURES)
        blurred = self._shake(photo, rng, extent, (top, left, size, size), exposure)
        return blurred, photo[top : top + size, left : left + size]


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
        UserError: if `folder` exists, two photographs have one name, one has a name that a list
            cannot hold, or one cannot be read.
    """
    names = [f"{pathlib.Path(photo).stem}.png" for photo in photos]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two photographs would become {name}; rename one")
    refuse([problem for name in names if (problem := path_problem(f"sharp/{name}"))])
    with atomic_folder(folder) as temporary:
        for i, (photo, name) in enumerate(zip(photos, names, strict=True)):
            sharp = read_rgb(photo)
            write_image(temporary / "sharp" / name, sharp)
            blurred = shake(sharp, np.random.default_rng([seed, i]), extent)
            write_image(temporary / "blur" / name, blurred)
            advance()
        lines = (f"sharp/{name} blur/{name}\n" for name in names)
        (temporary / LIST).write_text(for_list("".join(lines)), encoding="utf-8")
