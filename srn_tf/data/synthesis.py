"""Motion blur made from sharp photographs: the mean of a photograph along a camera's path.

A camera that shakes during the exposure shifts, rolls and comes nearer or farther, smoothly. The
photograph is moved along such a random path and averaged; where the path is at its middle, the
photograph stands still, and that is the sharp target, as the paper takes the middle frame of the
frames it averages. The mean is taken in linear light (gamma 2.2) or on the values as stored; real
cameras lie between.

NumPy and OpenCV alone, so that any training program can use it.
"""

import math

import cv2
import numpy as np

from srn_tf.data.lists import check_headers, random_corner
from srn_tf.images import find_images, read_image

GAMMA = 2.2
_TO_LINEAR = (np.arange(256, dtype=np.float32) / 255) ** GAMMA
# Roll and zoom move a pixel at the border of the crop by up to this part of the shift.
_ROLL_PART = 0.5
_ZOOM_PART = 0.25


def camera_path(rng: np.random.Generator, extent: float, size: int) -> np.ndarray:
    """A random smooth path of the camera.

    Args:
        extent: largest distance between two points of the path of the shift, in pixels.
        size: side of the picture in pixels, for which roll and zoom are scaled.

    Returns:
        float64 [samples, 4]: shift in x and y (pixels), roll (radians), logarithm of the zoom; zero
        at the middle sample. Samples are evenly spaced in time, odd in number, and so many that
        neighbours are at most a pixel apart.
    """
    # Cubic curves through random walks: what a hand does in a fraction of a second.
    controls = np.linspace(-1, 1, 4)
    curves = [
        np.polynomial.Polynomial.fit(controls, walk, deg=3)
        for walk in rng.standard_normal((4, 4)).cumsum(axis=1)
    ]
    roll_part, zoom_part = rng.uniform(0, (_ROLL_PART, _ZOOM_PART))

    def sample(count):
        path = np.stack([curve(np.linspace(-1, 1, count)) for curve in curves], axis=1)
        path -= path[count // 2]
        distances = np.linalg.norm(path[:, None, :2] - path[None, :, :2], axis=-1)
        reach = extent / (size / 2)
        scales = (
            *(extent / distances.max(),) * 2,
            roll_part * reach / np.ptp(path[:, 2]),
            zoom_part * reach / np.ptp(path[:, 3]),
        )
        return path * scales

    coarse = sample(33)
    longest = np.linalg.norm(np.diff(coarse[:, :2], axis=0), axis=1).max()
    return sample(2 * math.ceil(17 * longest) + 3)


def to_light(pixels: np.ndarray, linear_light: bool) -> np.ndarray:
    """uint8 values as float32 in [0, 1], to be averaged: light (gamma 2.2), or as they are."""
    return _TO_LINEAR[pixels] if linear_light else pixels.astype(np.float32) / 255


def from_light(mean: np.ndarray, linear_light: bool) -> np.ndarray:
    """The uint8 values of what `to_light` gave, averaged."""
    values = mean ** (1 / GAMMA) if linear_light else mean
    return np.rint(values * 255).astype(np.uint8)


def blur_along(photo: np.ndarray, path: np.ndarray, linear_light: bool) -> np.ndarray:
    """The mean of a photograph over a camera path.

    Args:
        photo: uint8 [height, width, 3].
        path: as from `camera_path`; its rows are shift x, shift y, roll, log zoom.
        linear_light: average light (gamma 2.2) instead of stored values.

    Returns:
        uint8 of the same shape; what moves in from outside repeats the edge's mirror image.
    """
    height, width = photo.shape[:2]
    values = to_light(photo, linear_light)
    total = np.zeros_like(values)
    center = ((width - 1) / 2, (height - 1) / 2)
    for x, y, roll, zoom in path:
        motion = cv2.getRotationMatrix2D(center, math.degrees(roll), math.exp(zoom))
        motion[:, 2] += x, y
        total += cv2.warpAffine(values, motion, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return from_light(total / len(path), linear_light)


class SyntheticSource:
    """Random crops of a folder's sharp photographs with random blur; see `lists.PairSource`.

    Args:
        folder: photographs, each at least `crop_size` wide and high.
        crop_size: side of the crops in pixels.
        max_blur: the extent of the path is drawn evenly from 0 to this, in pixels.

    Raises:
        ValueError: if there is no such folder, or a photograph is smaller than the crop.
    """

    def __init__(self, folder, crop_size: int, max_blur: float):
        self.paths = find_images(folder)
        self.names = [path.name for path in self.paths]
        self.notes = check_headers([("", (path,)) for path in self.paths], crop_size)
        self.crop_size = crop_size
        self.max_blur = max_blur

    def __len__(self) -> int:
        return len(self.paths)

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp) crop, both uint8 [crop_size, crop_size, 3].

        Raises:
            ValueError: if the photograph cannot be read.
        """
        photo = read_image(self.paths[index])
        size = self.crop_size
        top, left = random_corner(rng, photo.shape, size)
        path = camera_path(rng, rng.uniform(0, self.max_blur), size)
        # The blur is computed on the crop and a margin, as far as the photograph reaches: the
        # shift, and in the corners what roll and zoom add to it.
        margin = math.ceil(self.max_blur * (1 + math.sqrt(2) * (_ROLL_PART + _ZOOM_PART))) + 2
        y, x = max(top - margin, 0), max(left - margin, 0)
        region = photo[y : top + size + margin, x : left + size + margin]
        blurred = blur_along(region, path, linear_light=rng.random() < 0.5)
        window = np.s_[top - y : top - y + size, left - x : left - x + size]
        return blurred[window], region[window]
