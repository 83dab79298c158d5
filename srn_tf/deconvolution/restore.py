"""A blurred picture in, what deconvolution makes of it out."""

import numpy as np

from srn_tf.deconvolution.colour import join, split
from srn_tf.deconvolution.deconvolve import ITERATIONS, noise
from srn_tf.deconvolution.grid import Parts, deconvolve_windows, grid, local_kernel, tiles
from srn_tf.deconvolution.kernel import CLIPPED, best_crop, estimate_kernel

SIZE = 41  # of the largest kernel looked for
_LOCAL_ITERATIONS = 12  # of a deconvolution that begins as the whole picture's


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
    parts = Parts(*split(picture), np.zeros(picture.shape[:2], np.float32))
    clipped = (picture >= CLIPPED).any(-1)
    at = best_crop(parts.luma, clipped)
    kernel = estimate_kernel(parts.luma[at], size, clipped[at])
    sigma = noise(parts.luma)
    cells = tiles(parts.luma.shape, size)
    whole = deconvolve_windows(parts, cells, [kernel] * len(cells), clipped, sigma, ITERATIONS)
    cells = grid(parts.luma.shape)
    kernels = [local_kernel(parts.luma, clipped, kernel, cell) for cell in cells]
    local = deconvolve_windows(parts, cells, kernels, clipped, sigma, _LOCAL_ITERATIONS, whole)
    return {
        "global": _bytes(whole),
        "grid": _bytes(local),
        "global_residual": whole.residual,
        "grid_residual": local.residual,
        "kernel": kernel,
        "kernels": np.stack(kernels),
    }


def _bytes(parts) -> np.ndarray:
    """The parts of a picture as uint8 [height, width, channels]."""
    return np.rint(join(*parts[:2]).clip(0, 1) * 255).astype(np.uint8)
