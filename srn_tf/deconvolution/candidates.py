"""What deconvolution makes of a picture, for a network to choose from: see `SRNConfig.candidates`.

One kernel for all of the picture, kernels on a grid, and the kernel of that window whose blur is
least like the whole's, as where something moves on its own. Nothing is trusted or left out here.
"""

import dataclasses

import numpy as np
from scipy import fft

from srn_tf.deconvolution import trust
from srn_tf.deconvolution.colour import join, split
from srn_tf.deconvolution.deconvolve import ITERATIONS, noise, softened
from srn_tf.deconvolution.find import find_kernel
from srn_tf.deconvolution.grid import Parts, deconvolve_windows, grid, local_kernel, tiles
from srn_tf.deconvolution.kernel import CLIPPED
from srn_tf.deconvolution.threads import in_threads

CANDIDATES, HINTS = 3, 1
SMALLEST = 64  # side of a picture that a kernel can be found in
_SHARE = 1 / 2  # of the trusted deconvolution, beside what the network chose
_LOCAL_ITERATIONS = 12  # of a deconvolution that begins as the whole picture's
_RESIDUAL = 10.0  # what a hint shows of a residual, around gray


@dataclasses.dataclass(frozen=True)
class Candidates:
    """What was made of a picture.

    Attributes:
        pictures: CANDIDATES pictures, then HINTS, float32 [height, width, 3] in [0, 1].
        trust: float32 [height, width] in [0, 1], how far the second of them is trusted.
    """

    pictures: list[np.ndarray]
    trust: np.ndarray

    def improve(self, restored: np.ndarray) -> np.ndarray:
        """What a network chose, [height, width, 3], with a part of the trusted deconvolution: two
        ways that fail in different places are better together than either."""
        share = _SHARE * self.trust[..., np.newaxis]
        return restored + share * (softened(self.pictures[1]) - restored)


def candidates(picture: np.ndarray, size: int | None = None) -> Candidates:
    """Deconvolutions of a picture, and what they leave unexplained of it.

    Args:
        picture: float32 [height, width, 3] in [0, 1]: red, green and blue.
        size: of the largest kernel looked for, in pixels; by default as of `find_kernel`.

    Returns:
        The hint's channels are the residuals of the candidates: 0.5 + 10 * (candidate blurred again
        - picture), of the luma. Of a picture too small for a kernel the candidates are itself.
    """
    shape = picture.shape[:2]
    if min(shape) < SMALLEST:
        pictures = [picture] * CANDIDATES + [np.full_like(picture, 0.5)] * HINTS
        return Candidates(pictures, np.zeros(shape, np.float32))
    parts = Parts(*split(picture), np.zeros(shape, np.float32))
    clipped = (picture >= CLIPPED).any(-1)
    found = find_kernel(parts.luma, clipped, size)
    kernel = found.kernel
    sigma = noise(parts.luma)

    def deconvolved(windows, kernels, iterations, start=None):
        return deconvolve_windows(parts, windows, kernels, clipped, sigma, iterations, start)

    windows = tiles(shape, len(kernel))
    whole = deconvolved(windows, [kernel] * len(windows), ITERATIONS)
    cells = grid(shape)
    own = in_threads(lambda cell: local_kernel(parts.luma, clipped, kernel, cell), cells)
    local = deconvolved(cells, own, _LOCAL_ITERATIONS, whole)
    other = min(own, key=lambda k: similarity(k, kernel))
    third = deconvolved(windows, [other] * len(windows), _LOCAL_ITERATIONS, whole)
    results = whole, local, third
    residuals = np.stack([result.residual for result in results], axis=-1)
    hint = (0.5 + _RESIDUAL * residuals).clip(0, 1)
    pictures = [join(result.luma, result.colours).clip(0, 1) for result in results]
    share = (not found.doubt) * trust.by_pixel(parts.luma, local.residual, kernel)
    return Candidates([*pictures, hint], share)


def similarity(kernel: np.ndarray, other: np.ndarray) -> float:
    """The largest normalised correlation of two kernels [size, size] over their shifts: 1 if they
    are the same but for one."""
    shape = [2 * len(kernel)] * 2
    spectra = fft.rfft2(kernel, shape), np.conj(fft.rfft2(other, shape))
    product = fft.irfft2(spectra[0] * spectra[1], shape).max()
    return float(product / np.sqrt((kernel**2).sum() * (other**2).sum()))
