"""Whether a deconvolved picture is better than the blurred one: as a whole, and by pixel."""

import cv2
import numpy as np

from srn_tf.deconvolution.deconvolve import noise
from srn_tf.deconvolution.kernel import energies, spread

_SPARSITIES = (2e-3, 5e-4)
NO_BLUR = np.ones((1, 1), np.float32)


def features(
    luma: np.ndarray,
    clipped: np.ndarray,
    kernel: np.ndarray,
    sharp: np.ndarray,
    residual: np.ndarray,
) -> dict[str, float]:
    """What tells right kernels from wrong ones.

    Args:
        luma: float32 [height, width] in [0, 1], blurred.
        clipped: bool [height, width].
        kernel: the kernel.
        sharp, residual: what `deconvolve` made of luma with it.
    """
    sigma = max(noise(luma), 1 / 255 / 12**0.5)
    values = {}
    for sparsity in _SPARSITIES:
        own, none = energies(luma, clipped, [kernel, NO_BLUR], sparsity)
        values[f"energy_{sparsity:g}"] = np.log(own / none)
    major, minor = spread(kernel)
    inside = residual[~clipped] if not clipped.all() else residual
    values["residual"] = np.log(np.sqrt((inside**2).mean()) / sigma)
    values["noise"] = np.log(max(noise(sharp), 1e-4) / sigma)
    values["major"] = np.log(max(major, 0.3))
    values["minor"] = np.log(max(minor, 0.3))
    values["pixels"] = np.log(1 / (kernel**2).sum())
    values["sigma"] = np.log(sigma)
    for name, picture in (("edges", luma), ("sharp_edges", sharp.clip(0, 1))):
        strength = np.abs(np.diff(picture, axis=0)[:, :-1]), np.abs(np.diff(picture)[:-1])
        total = sum(map(np.square, strength))
        values[name] = np.log(total.mean() + 1e-8)
        values[name + "_sparse"] = np.log(
            (np.sqrt(total).mean() + 1e-6) / np.sqrt(total.mean() + 1e-12)
        )
    values["beyond"] = np.log(1e-3 + ((sharp < -0.02) | (sharp > 1.02)).mean())
    return {name: float(value) for name, value in values.items()}


def disagreement(luma: np.ndarray, residual: np.ndarray, reach: float) -> np.ndarray:
    """What a kernel leaves unexplained of the neighbourhood of a pixel, float32 [height, width].

    The energy of the residual, less that of the noise, over that of the gradients; both around the
    pixel, as far as the kernel reaches.
    """
    sigma = noise(luma)
    dx = cv2.Sobel(luma, cv2.CV_32F, 1, 0, ksize=1) / 2
    dy = cv2.Sobel(luma, cv2.CV_32F, 0, 1, ksize=1) / 2
    width = max(2.0, reach)
    energy = cv2.GaussianBlur(dx**2 + dy**2, (0, 0), width)
    rest = cv2.GaussianBlur(residual**2, (0, 0), width)
    return (rest - sigma**2).clip(0) / (energy + sigma**2 + 1e-7)
