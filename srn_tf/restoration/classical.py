"""Classical deblurring for comparison: scikit-image's deconvolutions with a known line kernel.

They are non-blind: the length and direction of the motion must be given, one for the whole picture,
where the networks find out for themselves.
"""

import math

import cv2
import numpy as np
from skimage import restoration

from srn_tf import UserError
from srn_tf.options import CLASSICAL
from srn_tf.restoration.normalize import restore_arrays

_WIENER_BALANCE = 0.1
_RICHARDSON_LUCY_ITERATIONS = 30


def line_kernel(length: float, angle: float) -> np.ndarray:
    """The kernel of a straight motion.

    Args:
        length: in pixels.
        angle: in degrees, counted from the row of pixels, counterclockwise.

    Returns:
        float64 [size, size] with a sum of 1; size is odd.
    """
    size = 2 * math.ceil(length / 2) + 1
    point = np.zeros((size, size), np.float32)
    point[size // 2, size // 2] = 1
    x, y = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
    kernel = np.zeros((size, size))
    for t in np.linspace(-length / 2, length / 2, 4 * size + 1):
        kernel += cv2.warpAffine(point, np.array([[1, 0, t * x], [0, 1, t * y]]), (size, size))
    return kernel / kernel.sum()


class ClassicalDeblurrer:
    """Restores pictures that moved along one straight line; used like `deblurrer.Deblurrer`.

    Args:
        method: "wiener" or "richardson_lucy".
        length: of the motion, in pixels.
        angle: of the motion, in degrees counterclockwise from the row of pixels.

    Raises:
        UserError: for an unknown method, or a length or angle outside its rule.
    """

    def __init__(self, method: str, length: float, angle: float):
        if method not in CLASSICAL:
            raise UserError(f"method must be one of {', '.join(CLASSICAL)}, not {method!r}")
        if not 1 < length <= 1000:
            raise UserError(f"blur_length must be above 1, up to 1000 pixels, not {length:g}")
        if not math.isfinite(angle):
            raise UserError(f"blur_angle must be a number of degrees, not {angle:g}")
        self.method = method
        self.kernel = line_kernel(length, angle)

    def deblur(self, image: np.ndarray) -> np.ndarray:
        """As `deblurrer.Deblurrer.deblur`; restored channel by channel."""
        return self.deblur_batch(image[np.newaxis])[0]

    def deblur_batch(self, images: np.ndarray, on_tile=None) -> np.ndarray:
        """As `deblurrer.Deblurrer.deblur_batch`; there are no tiles to be told of."""
        return restore_arrays(images, 1, self._restore)

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
