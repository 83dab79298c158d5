"""Whether a deconvolved picture is better than the blurred one: as a whole, and by pixel."""

import cv2
import numpy as np

from srn_tf.deconvolution.deconvolve import noise
from srn_tf.deconvolution.fourier import gradient
from srn_tf.deconvolution.kernel import extent, spread

# A blur shorter than this is left to networks: the kernels found for it are too wide.
LEAST_EXTENT = 5
_LEAST_SPREAD = LEAST_EXTENT / 12**0.5  # standard deviation of a line of that length
_LEAST_RATIO = 1.3  # of the spreads along and across: a kernel that is rounder is no motion
LEAST = 1.0  # log odds from which a kernel is trusted
_BIAS = -6.154
_WEIGHTS = {
    "beyond": -1.176,
    "pixels": 0.027,
    "noise": -0.129,
    "sigma": 0.144,
    "sparse": 0.596,
    "sharp_sparse": -1.18,
    "flat": 0.179,
    "white": 0.099,
    "disagreement": -0.294,
}
_DOUBT = 0.05  # disagreement from which a pixel is doubtful
_WHITE = 1.5  # sigma of the Gaussian that white noise loses most of its energy to, in pixels


def features(
    luma: np.ndarray, kernel: np.ndarray, sharp: np.ndarray, residual: np.ndarray
) -> dict[str, float]:
    """What tells right kernels from wrong ones, mostly logarithms.

    Args:
        luma: float32 [height, width] in [0, 1], blurred.
        kernel: the kernel.
        sharp, residual: what `deconvolve` made of luma with it.
    """
    sigma = max(noise(luma), 1 / 255 / 12**0.5)
    major, minor = spread(kernel)
    before, after = (np.sqrt((gradient(p)[:, :-1, :-1] ** 2).sum(0)) for p in (luma, sharp))
    energy = (residual**2).mean() + 1e-9
    smooth = cv2.GaussianBlur(residual, (0, 0), _WHITE)
    values = {
        "residual": np.sqrt(energy) / sigma,
        "white": (smooth**2).mean() / energy + 1e-3,
        "noise": max(noise(sharp), 1e-4) / sigma,
        "sigma": sigma,
        "major": max(major, 0.3),
        "minor": max(minor, 0.3),
        "pixels": 1 / (kernel**2).sum(),
        "parts": cv2.connectedComponents((kernel > 0).astype(np.uint8))[0],
        "flat": (np.median(after) + 1e-3) / (np.median(before) + 1e-3),
        "edges": (before**2).mean() + 1e-8,
        "sharp_edges": (after**2).mean() + 1e-8,
        "sparse": before.mean() / np.sqrt((before**2).mean() + 1e-9) + 1e-3,
        "sharp_sparse": after.mean() / np.sqrt((after**2).mean() + 1e-9) + 1e-3,
        "beyond": ((sharp < -0.02) | (sharp > 1.02)).mean() + 1e-3,
        "disagreement": 1e-3 + (disagreement(luma, residual, kernel) > _DOUBT).mean(),
    }
    return {name: float(np.log(value)) for name, value in values.items()}


def disagreement(luma: np.ndarray, residual: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What a kernel leaves unexplained of the neighbourhood of a pixel, float32 [height, width].

    The energy of the residual, less that of the noise, over that of the gradients; both around the
    pixel, as far as the kernel reaches.
    """
    sigma = noise(luma)
    dx = cv2.Sobel(luma, cv2.CV_32F, 1, 0, ksize=1) / 2
    dy = cv2.Sobel(luma, cv2.CV_32F, 0, 1, ksize=1) / 2
    width = max(2.0, extent(kernel) / 3)
    energy = cv2.GaussianBlur(dx**2 + dy**2, (0, 0), width)
    rest = cv2.GaussianBlur(residual**2, (0, 0), width)
    return (rest - sigma**2).clip(0) / (energy + sigma**2 + 1e-7)


def is_motion(kernel: np.ndarray) -> bool:
    """Whether a kernel is long enough, and not round as that of a lens out of focus."""
    major, minor = spread(kernel)
    return major >= max(_LEAST_SPREAD, _LEAST_RATIO * minor)


def by_pixel(luma: np.ndarray, residual: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """How far to trust each pixel of a deconvolved picture, float32 [height, width] in [0, 1]."""
    return (1.5 - disagreement(luma, residual, kernel) / _DOUBT).clip(0, 1)


def whole(values: dict[str, float]) -> float:
    """The odds, as a logarithm, that a deconvolved picture with these `features` is better."""
    return _BIAS + sum(weight * values[name] for name, weight in _WEIGHTS.items())
