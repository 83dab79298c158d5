"""A blurred picture in, what deconvolution makes of it out."""

import numpy as np

from srn_tf.deconvolution.colour import join, split
from srn_tf.deconvolution.deconvolve import ITERATIONS, noise
from srn_tf.deconvolution.grid import deconvolve_colour, deconvolve_grid, local_kernels, windows
from srn_tf.deconvolution.kernel import CLIPPED, best_crop, estimate_kernel

SIZE = 31  # of the largest kernel looked for


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
    picture = blurred.astype(np.float32) / 255
    luma, colours = split(picture)
    clipped = (picture >= CLIPPED).any(-1)
    at = best_crop(luma, clipped)
    kernel = estimate_kernel(luma[at], size, clipped[at])
    sigma = noise(luma)
    whole = deconvolve_colour(luma, colours, kernel, clipped, sigma, ITERATIONS)
    cells = windows(luma.shape)
    kernels = local_kernels(luma, kernel, clipped, cells)
    grid = deconvolve_grid(luma, colours, kernels, cells, clipped, sigma, whole)
    return {
        "global": _bytes(whole),
        "grid": _bytes(grid),
        "global_residual": whole[2],
        "grid_residual": grid[2],
        "kernel": kernel,
        "kernels": np.stack(kernels),
    }


def _bytes(parts) -> np.ndarray:
    """The parts of a picture as uint8 [height, width, channels]."""
    return np.rint(join(*parts[:2]).clip(0, 1) * 255).astype(np.uint8)
