"""Luma at full size and colour differences at half of it, as in JPEG and video."""

import cv2
import numpy as np

from srn_tf.deconvolution.kernel import centroid

_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue in luma (BT.601)


def luma_of(picture: np.ndarray) -> np.ndarray:
    """float32 [height, width, channels] -> [height, width]; channels are 1, or red, green, blue."""
    return picture @ _WEIGHTS if picture.shape[-1] == 3 else picture.mean(-1)


def split(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [height, width, channels] -> luma [height, width], and the colours' differences from
    it, [channels, height / 2, width / 2] rounded up; none of a picture with one channel."""
    luma = luma_of(picture)
    height, width = luma.shape
    if picture.shape[-1] == 1:
        return luma, np.zeros((0, -(-height // 2), -(-width // 2)), np.float32)
    difference = picture - luma[..., np.newaxis]
    more = ((0, height % 2), (0, width % 2), (0, 0))
    difference = np.pad(difference[..., ::2], more, mode="edge")  # red and blue say it all
    half = cv2.resize(difference, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return luma, np.ascontiguousarray(half.transpose(2, 0, 1))


def join(luma: np.ndarray, half: np.ndarray) -> np.ndarray:
    """The inverse of `split`, but for the colours' finest details."""
    if not len(half):
        return luma[..., np.newaxis]
    height, width = luma.shape
    size = 2 * half.shape[2], 2 * half.shape[1]
    red, blue = (cv2.resize(part, size)[:height, :width] for part in half)
    green = -(_WEIGHTS[0] * red + _WEIGHTS[2] * blue) / _WEIGHTS[1]
    return luma[..., np.newaxis] + np.stack([red, green, blue], -1)


def half_kernel(kernel: np.ndarray) -> np.ndarray:
    """The kernel of a picture of half the size, about its middle of mass."""
    y, x = centroid(kernel)
    middle, new = len(kernel) // 2, len(kernel) // 4 + 1
    smooth = cv2.GaussianBlur(kernel, (3, 3), 0.7, borderType=cv2.BORDER_CONSTANT)
    matrix = np.array([[2, 0, middle + x - 2 * new], [0, 2, middle + y - 2 * new]], np.float32)
    size = (2 * new + 1, 2 * new + 1)
    half = cv2.warpAffine(smooth, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return half / half.sum()
