"""Uniform blur made from sharp photographs, and pictures compared wherever they lie."""

import itertools
import math

import cv2
import numpy as np

from srn_tf.deconvolution.colour import luma_of

REACH = 3  # of the shifts that align pictures, in pixels
_SAMPLES = 400


def path_kernel(rng: np.random.Generator, extent: float) -> np.ndarray:
    """The kernel of a camera's smooth path; float32 [odd, odd], its middle of mass in the middle.

    Args:
        rng: what the path is drawn from.
        extent: the largest distance between two of its places, in pixels.
    """
    controls, times = np.linspace(-1, 1, 4), np.linspace(-1, 1, _SAMPLES) * rng.uniform(0.4, 1)
    walks = rng.standard_normal((2, 4)).cumsum(axis=1)
    curves = [np.polynomial.Polynomial.fit(controls, walk, 3) for walk in walks]
    path = np.stack([curve(times) for curve in curves], axis=1)
    path *= extent / np.linalg.norm(path[:, None] - path[None], axis=-1).max()
    path -= path.mean(axis=0)
    middle = math.ceil(np.abs(path).max()) + 1
    kernel = np.zeros((2 * middle + 1,) * 2)
    whole = np.floor(path).astype(int)
    for dy, dx in itertools.product((0, 1), repeat=2):
        near = np.abs(1 - np.array([dx, dy]) - (path - whole)).prod(axis=1)
        np.add.at(kernel, (whole[:, 1] + middle + dy, whole[:, 0] + middle + dx), near)
    return np.float32(kernel / kernel.sum())


def disc_kernel(radius: float) -> np.ndarray:
    """The kernel of a lens out of focus; float32 [odd, odd]."""
    size, fine = 2 * math.ceil(radius) + 3, 16
    places = (np.indices((size * fine,) * 2) + 0.5) / fine - size / 2
    kernel = np.float32((places**2).sum(axis=0) < radius**2)
    kernel = cv2.resize(kernel, (size, size), interpolation=cv2.INTER_AREA)
    return kernel / kernel.sum()


def blur(
    sharp: np.ndarray,
    kernel: np.ndarray,
    rng: np.random.Generator,
    sigma: float,
    quality: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A blurred picture and the sharp one, without the borders that would show what is not known.

    Args:
        sharp: uint8 [height, width, 3].
        kernel: [odd, odd].
        rng: what the noise is drawn from.
        sigma: standard deviation of the noise, of values up to 255.
        quality: of JPEG; None for none.

    Returns:
        uint8 [height, width, 3], both.
    """
    margin = len(kernel) // 2
    flipped = kernel[::-1, ::-1]  # OpenCV correlates
    picture = cv2.filter2D(np.float32(sharp), -1, flipped, borderType=cv2.BORDER_REFLECT)
    inside = slice(margin, -margin or None)
    picture = picture[inside, inside]
    picture = picture + sigma * rng.standard_normal(picture.shape, np.float32)
    blurred = np.rint(picture.clip(0, 255)).astype(np.uint8)
    if quality is not None:
        _, content = cv2.imencode(".jpg", blurred, [cv2.IMWRITE_JPEG_QUALITY, quality])
        blurred = cv2.imdecode(content, cv2.IMREAD_COLOR)
    return blurred, sharp[inside, inside]


def best_shift(sharp: np.ndarray, picture: np.ndarray) -> tuple[int, int]:
    """How many whole pixels, up to REACH, a picture [height, width] lies below and to the right of
    the sharp one; where their difference is least."""
    height, width = (side - 2 * REACH for side in sharp.shape)
    target = sharp[REACH : REACH + height, REACH : REACH + width]

    def difference(shift):
        top, left = (REACH + distance for distance in shift)
        return np.mean((picture[top : top + height, left : left + width] - target) ** 2)

    return min(itertools.product(range(-REACH, REACH + 1), repeat=2), key=difference)


def aligned_psnr(sharp: np.ndarray, picture: np.ndarray) -> float:
    """Of the luma of uint8 [height, width, 3], dB, best over whole-pixel shifts; at most 99."""
    sharp, picture = luma_of(np.float32(sharp)), luma_of(np.float32(picture))
    dy, dx = best_shift(sharp, picture)
    inside = np.s_[REACH:-REACH, REACH:-REACH]
    moved = np.roll(picture, (-dy, -dx), (0, 1))
    return psnr(sharp[inside], moved[inside])


def psnr(sharp: np.ndarray, picture: np.ndarray) -> float:
    """Of values up to 255, dB; at most 99."""
    return min(99.0, -10 * math.log10(max(np.mean((sharp - picture) ** 2) / 255**2, 1e-10)))


def finely_aligned_psnr(sharp: np.ndarray, picture: np.ndarray) -> float:
    """The same over shifts of quarter pixels, as Levin et al. (CVPR 2009) compare."""
    sharp, picture = luma_of(np.float32(sharp)), luma_of(np.float32(picture))
    dy, dx = best_shift(sharp, picture)
    inside = np.s_[REACH + 2 : -REACH - 2, REACH + 2 : -REACH - 2]
    best = 0.0
    for fine in itertools.product(np.arange(-1, 1.01, 0.25), repeat=2):
        matrix = np.array([[1, 0, dx + fine[1]], [0, 1, dy + fine[0]]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(picture, matrix, picture.shape[::-1], flags=flags)
        best = max(best, psnr(sharp[inside], moved[inside]))
    return best
