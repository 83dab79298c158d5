"""Classical deblurring for comparison: scikit-image's deconvolutions with a known kernel.

They are non-blind: the kernel of the blur must be given, or the length and direction of a motion
along a line; one for the whole picture, where the networks find out for themselves.
"""

import math
import pathlib

import cv2
import numpy as np
from skimage import restoration

from srn_tf import UserError
from srn_tf.deconvolution.colour import luma_of
from srn_tf.images.rgb import read_rgb
from srn_tf.options import CLASSICAL
from srn_tf.restoration.normalize import as_array, restore_any, restore_arrays

_WIENER_BALANCE = 0.1
_RICHARDSON_LUCY_ITERATIONS = 30
_LARGEST_KERNEL = 1001


def line_kernel(length: float, angle: float) -> np.ndarray:
    """The kernel of a straight motion.

    Args:
        length: in pixels.
        angle: in degrees, counted from the row of pixels, counterclockwise.

    Returns:
        float64 [size, size] with a sum of 1; size is odd.

    Raises:
        UserError: for a length or angle outside its rule.
    """
    if not 1 < length <= 1000:
        raise UserError(f"blur_length must be above 1, up to 1000 pixels, not {length:g}")
    if not math.isfinite(angle):
        raise UserError(f"blur_angle must be a number of degrees, not {angle:g}")
    size = 2 * math.ceil(length / 2) + 1
    point = np.zeros((size, size), np.float32)
    point[size // 2, size // 2] = 1
    x, y = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
    kernel = np.zeros((size, size))
    for t in np.linspace(-length / 2, length / 2, 4 * size + 1):
        kernel += cv2.warpAffine(point, np.array([[1, 0, t * x], [0, 1, t * y]]), (size, size))
    return kernel / kernel.sum()


def read_kernel(path) -> np.ndarray:
    """A kernel from a file: a picture, brighter where the blur stays longer, or an array (.npy).

    Returns:
        float64 [size, size], not negative, with a sum of 1; size is odd.

    Raises:
        UserError: if it cannot be read, or is no such kernel.
    """
    path = pathlib.Path(path)
    try:
        kernel = np.load(path) if path.suffix == ".npy" else luma_of(read_rgb(path) / 255.0)
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as a kernel: {error}") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    if kernel.ndim != 2 or not 1 < max(kernel.shape) <= _LARGEST_KERNEL:
        raise UserError(
            f"{path}: a kernel is [height, width], 2 to {_LARGEST_KERNEL}, not {list(kernel.shape)}"
        )
    kernel = kernel.astype(np.float64)
    if not (np.isfinite(kernel).all() and kernel.min() >= 0 and kernel.sum() > 0):
        raise UserError(f"{path}: a kernel is of finite numbers from 0, not all of them 0")
    size = max(kernel.shape) // 2 * 2 + 1
    before = [(size - length) // 2 for length in kernel.shape]
    after = [size - length - more for length, more in zip(kernel.shape, before, strict=True)]
    return np.pad(kernel, list(zip(before, after, strict=True))) / kernel.sum()


class ClassicalDeblurrer:
    """Restores pictures of a known blur; used like `deblurrer.Deblurrer`.

    Args:
        method: "wiener" or "richardson_lucy".
        kernel: of the blur, as `line_kernel` and `read_kernel` give it.

    Raises:
        UserError: for an unknown method.
    """

    def __init__(self, method: str, kernel: np.ndarray):
        if method not in CLASSICAL:
            raise UserError(f"method must be one of {', '.join(CLASSICAL)}, not {method!r}")
        self.method = method
        self.kernel = kernel

    def deblur(self, image):
        """As `deblurrer.Deblurrer.deblur`; restored channel by channel."""
        return restore_any(image, self.deblur_batch)

    def deblur_batch(self, images, on_tile=None) -> np.ndarray:
        """As `deblurrer.Deblurrer.deblur_batch`; there are no tiles to be told of."""
        return restore_arrays(as_array(images), 1, self._restore)

    def _restore(self, blurred: np.ndarray, peak) -> np.ndarray:
        # Mirrored borders, because deconvolution takes the picture to go on beyond its edge.
        margin = 2 * len(self.kernel)
        restored = []
        for channel in blurred[..., 0]:
            padded = np.pad(channel.astype(np.float64) / peak, margin, mode="symmetric")
            if self.method == "wiener":
                result = restoration.wiener(padded, self.kernel, _WIENER_BALANCE)
            else:
                result = restoration.richardson_lucy(
                    padded, self.kernel, _RICHARDSON_LUCY_ITERATIONS
                )
            restored.append(result[margin:-margin, margin:-margin])
        return np.stack(restored)[..., np.newaxis]
