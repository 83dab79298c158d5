"""Whether a deconvolved picture is better than the blurred one: as a whole, and by pixel.

A wrong kernel explains the picture hardly better than no blur does, and lies in pieces far apart.
Where it holds and where not, the residual tells.
"""

import cv2
import numpy as np

from srn_tf.deconvolution.deconvolve import noise
from srn_tf.deconvolution.fourier import gradient
from srn_tf.deconvolution.kernel import energies, extent, spread

# A blur shorter than this is left to networks: the kernels found for it are too wide.
LEAST_EXTENT = 5
_LEAST_SPREAD = LEAST_EXTENT / 12**0.5  # standard deviation of a line of that length
_LEAST_RATIO = 1.16  # of the spreads along and across: a kernel that is rounder is no motion
_DOUBT = 0.05  # disagreement from which a pixel is doubtful
_SPARSITY = 5e-3  # penalty on gradients with which a kernel is compared with no blur
_ROUNDING = 0.1  # pixels, so that the spread of a point has a logarithm
# A logistic regression of `features`; benchmarks/blind_trust.py finds it.
_BIAS = 9.982
_WEIGHTS = {"energy": -23.228, "filling": 6.062}
LEAST_ODDS = 0.5  # from which a kernel is trusted


def is_motion(kernel: np.ndarray) -> bool:
    """Whether a kernel is long enough, and not round as that of a lens out of focus."""
    major, minor = spread(kernel)
    return major >= max(_LEAST_SPREAD, _LEAST_RATIO * minor)


def odds(luma: np.ndarray, clipped: np.ndarray, kernel: np.ndarray) -> float:
    """The logarithm of the odds that the picture is better deconvolved than blurred; arguments as
    of `features`."""
    values = features(luma, clipped, kernel)
    return _BIAS + sum(weight * values[name] for name, weight in _WEIGHTS.items())


def features(luma: np.ndarray, clipped: np.ndarray, kernel: np.ndarray) -> dict[str, float]:
    """What tells right kernels from wrong ones, as logarithms.

    Args:
        luma: float32 [height, width] in [0, 1], blurred.
        clipped: bool [height, width], where values were cut off.
        kernel: float32 [odd, odd], of its blur.

    Returns:
        `energy`, with the kernel over that without blur; `filling`, how wide the kernel's mass
        lies for its extent.
    """
    point = np.zeros_like(kernel)
    point[len(kernel) // 2, len(kernel) // 2] = 1
    found, without = energies(luma, clipped, [kernel, point], _SPARSITY)
    filling = (spread(kernel)[0] + _ROUNDING) / extent(kernel)
    return {"energy": float(np.log(found / without)), "filling": float(np.log(filling))}


def by_pixel(luma: np.ndarray, residual: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """How far to trust each pixel of a deconvolved picture, float32 [height, width] in [0, 1]."""
    return (1.5 - disagreement(luma, residual, kernel) / _DOUBT).clip(0, 1)


def disagreement(luma: np.ndarray, residual: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What a kernel leaves unexplained of the neighbourhood of a pixel, float32 [height, width].

    The energy of the residual, less that of the noise, over that of the gradients; both around the
    pixel, as far as the kernel reaches.
    """
    variance = noise(luma) ** 2
    width = max(2.0, extent(kernel) / 3)
    energy = cv2.GaussianBlur((gradient(luma) ** 2).sum(0), (0, 0), width)
    rest = cv2.GaussianBlur(residual**2, (0, 0), width)
    return (rest - variance).clip(0) / (energy + variance + 1e-7)
