"""The kernel of a picture of any size, and whether it is followed."""

import dataclasses

import numpy as np

from srn_tf.deconvolution import trust
from srn_tf.deconvolution.kernel import best_crop, estimate_kernel, extent, odd

SIZES = 3, 80  # of the largest kernel looked for, in pixels, that may be asked for
_SIZE = 41  # of it where nothing is asked for, in any picture
_WIDE = 24  # a kernel that long may be what a longer one looks like in so little room
_LARGE = 81  # then one of that size is looked for, or
_PART = 1 / 8  # of that part of the shorter side, if that is less,
_CROP_PART = 9.5  # in a part of the picture of so many sizes
_PART_ODDS = 1.5  # from which the kernel of a part is trusted: who tries more often errs more often


@dataclasses.dataclass(frozen=True)
class Found:
    """A kernel.

    Attributes:
        kernel: float32 [odd, odd], as of `kernel.estimate_kernel`.
        doubt: for people, why it is not to be followed; empty if it is.
        odds: how far it is to be trusted, as of `trust.odds`; minus infinity for what is no motion.
    """

    kernel: np.ndarray
    doubt: str
    odds: float


def find_kernel(luma: np.ndarray, clipped: np.ndarray, size: int | None = None) -> Found:
    """The kernel of a picture.

    Where a kernel is not to be trusted, those of two parts of the picture may be better: a camera's
    roll matters less there, or nothing moves on its own.

    Args:
        luma: float32 [height, width] in [0, 1].
        clipped: bool [height, width], where values were cut off.
        size: of the largest kernel looked for, in pixels; by default 41, or an eighth of the
            picture's shorter side, up to 81, where a blur is found that needs it.
    """
    at = best_crop(luma, clipped)
    luma_there, clipped_there = luma[at], clipped[at]
    first = _find(luma_there, clipped_there, size or _SIZE)
    large = odd(min(_LARGE, _PART * min(luma.shape)))
    unsure = trust.is_motion(first.kernel) and (first.doubt or extent(first.kernel) >= _WIDE)
    if unsure and large > _SIZE and not size:
        larger = best_crop(luma, clipped, round(_CROP_PART * large))
        second = _find(luma[larger], clipped[larger], large)
        if not second.doubt and extent(second.kernel) >= _WIDE:
            return second
    if not first.doubt:
        return first
    parts = (_find(luma_there[p], clipped_there[p], len(first.kernel)) for p in _parts(luma_there))
    best = max((part for part in parts if not part.doubt), key=lambda f: f.odds, default=first)
    if best is first or best.odds >= _PART_ODDS:
        return best
    return dataclasses.replace(best, doubt=_untrusted(best.kernel))


def _parts(luma: np.ndarray) -> list[tuple[slice, slice]]:
    """The first and the last two thirds of the longer side."""
    height, width = luma.shape
    if width > height:
        return [np.s_[:, : width * 2 // 3], np.s_[:, width // 3 :]]
    return [np.s_[: height * 2 // 3, :], np.s_[height // 3 :, :]]


def _find(luma: np.ndarray, clipped: np.ndarray, size: int) -> Found:
    kernel = estimate_kernel(luma, odd(min(size, min(luma.shape) // 3)), clipped)
    return judged(luma, clipped, kernel)


def judged(luma: np.ndarray, clipped: np.ndarray, kernel: np.ndarray) -> Found:
    """What is to be thought of the kernel of a picture, or of a part of it."""
    if not trust.is_motion(kernel):
        return Found(kernel, f"no motion blur of {trust.LEAST_EXTENT} pixels or more", -np.inf)
    odds = trust.odds(luma, clipped, kernel)
    return Found(kernel, "" if odds >= trust.LEAST_ODDS else _untrusted(kernel), odds)


def _untrusted(kernel: np.ndarray) -> str:
    return f"kernel of {extent(kernel)} pixels, not trusted"
