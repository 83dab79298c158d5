"""A blurred picture in, what deconvolution makes of it out."""

import numpy as np

from srn_tf.deconvolution.deconvolve import deconvolve, noise
from srn_tf.deconvolution.grid import deconvolve_grid, local_kernels, windows
from srn_tf.deconvolution.kernel import CLIPPED, best_crop, estimate_kernel

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue
SIZE = 41  # of the largest kernel looked for


def candidates(blurred: np.ndarray, size: int = SIZE) -> dict[str, np.ndarray]:
    """What one kernel for all, and kernels on a grid, make of a picture; to choose from.

    Args:
        blurred: uint8 [height, width, 3], red, green and blue.
        size: of the largest kernel looked for, odd.

    Returns:
        `global` and `grid`, uint8 as `blurred`; `global_residual` and `grid_residual`, float32
        [height, width], luma of the restored picture blurred again minus that of the blurred one,
        in [-1, 1]; `kernel`, float32 [size, size]; `kernels`, one a window.
    """
    picture = np.ascontiguousarray(blurred.transpose(2, 0, 1), np.float32) / 255
    luma = np.tensordot(LUMA, picture, 1)
    clipped = (picture >= CLIPPED).any(0)
    at = best_crop(luma, clipped)
    kernel = estimate_kernel(luma[at], size, clipped[at])
    sigma = noise(luma)
    sharp, residual = deconvolve(picture, kernel, clipped, sigma)
    cells = windows(luma.shape)
    kernels = local_kernels(luma, kernel, clipped, cells)
    grid, grid_residual = deconvolve_grid(picture, kernels, cells, clipped, sigma, sharp)
    return {
        "global": _bytes(sharp),
        "grid": _bytes(grid),
        "global_residual": np.tensordot(LUMA, residual, 1),
        "grid_residual": np.tensordot(LUMA, grid_residual, 1),
        "kernel": kernel,
        "kernels": np.stack(kernels),
    }


def _bytes(picture: np.ndarray) -> np.ndarray:
    """float32 [3, height, width] in [0, 1] as uint8 [height, width, 3]."""
    return np.rint(picture.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
