"""The kernel of a picture of any size, and whether it is followed."""

import dataclasses

import numpy as np

from srn_tf.deconvolution import trust
from srn_tf.deconvolution.kernel import CROP, best_crop, estimate_kernel, extent, odd

SIZES = 3, 80  # of the largest kernel looked for, in pixels, that may be asked for
_SIZE = 41  # of it where nothing is asked for, in any picture
_WIDE = 24  # a kernel that long may be what a longer one looks like in so little room
_LARGE = 81  # then one of that size is looked for, or
_PART = 1 / 8  # of that part of the shorter side, if that is less,
_CROP_PART = 9.5  # in a part of the picture of so many sizes


@dataclasses.dataclass(frozen=True)
class Found:
    """A kernel.

    Attributes:
        kernel: float32 [odd, odd], as of `kernel.estimate_kernel`.
        at: the part of the picture that it was found in.
        doubt: for people, why it is not to be followed; empty if it is.
    """

    kernel: np.ndarray
    at: tuple[slice, slice]
    doubt: str


def find_kernel(luma: np.ndarray, clipped: np.ndarray, size: int | None = None) -> Found:
    """The kernel of a picture.

    Args:
        luma: float32 [height, width] in [0, 1].
        clipped: bool [height, width], where values were cut off.
        size: of the largest kernel looked for, in pixels; by default 41, or an eighth of the
            picture's shorter side, up to 81, where a blur is found that needs it.
    """
    first = _find(luma, clipped, size or _SIZE, CROP)
    large = odd(min(_LARGE, _PART * min(luma.shape)))
    unsure = first.doubt or extent(first.kernel) >= _WIDE
    if size or large <= _SIZE or not (trust.is_motion(first.kernel) and unsure):
        return first
    second = _find(luma, clipped, large, round(_CROP_PART * large))
    return first if second.doubt or extent(second.kernel) < _WIDE else second


def _find(luma, clipped, size: int, side: int) -> Found:
    at = best_crop(luma, clipped, side)
    kernel = estimate_kernel(luma[at], odd(min(size, min(luma.shape) // 3)), clipped[at])
    return Found(kernel, at, doubt(luma[at], clipped[at], kernel))


def doubt(luma: np.ndarray, clipped: np.ndarray, kernel: np.ndarray) -> str:
    """Why the kernel of a picture, or of a part of it, is not to be followed; empty if it is."""
    if not trust.is_motion(kernel):
        return f"no motion blur of {trust.LEAST_EXTENT} pixels or more"
    if not trust.is_trusted(luma, clipped, kernel):
        return f"kernel of {extent(kernel)} pixels, not trusted"
    return ""
