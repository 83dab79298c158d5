"""A picture in overlapping windows: kernels that differ over it, and bounded memory.

Within a window the blur is taken as uniform; the restored windows are blended (Hirsch, Schuler,
Harmeling and Schölkopf, "Fast removal of non-uniform camera shake", ICCV 2011).
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
from scipy import fft

from srn_tf.deconvolution.colour import half_kernel
from srn_tf.deconvolution.deconvolve import deconvolve
from srn_tf.deconvolution.kernel import best_crop, energies, refine_kernel
from srn_tf.deconvolution.threads import in_threads

# Sides in pixels.
_CELL = 320  # of the windows of the grid, which overlap by half, unless there would be too many
_MOST = 4  # of them in a row, unless they would be larger than tiles
TILE = 1280  # of a picture that has one kernel
SPARSITY = 5e-4  # that kernels are compared with
_ITERATIONS = 3  # for a kernel that begins as the whole picture's


class Parts(NamedTuple):
    """A picture in parts: luma [h, w] and colours [2 or 0, h / 2, w / 2], as of `colour.split`, and
    the luma's residual [h, w]; float32."""

    luma: np.ndarray
    colours: np.ndarray
    residual: np.ndarray


class Window(NamedTuple):
    """Where it lies, from an even row and column on, and float32 [h, w], what its pixels count; of
    all windows that adds up to 1."""

    rows: slice
    columns: slice
    weights: np.ndarray

    @property
    def places(self) -> Parts:
        """Of its part in each of a picture's."""
        at = self.rows, self.columns
        half = (slice(span.start // 2, -(-span.stop // 2)) for span in at)
        return Parts(at, (slice(None), *half), at)


def grid(shape: tuple[int, int]) -> list[Window]:
    """Windows for kernels of their own."""
    counts = []
    for length in shape:
        least = math.ceil(2 * length / TILE - 1)
        counts.append(max(1, least, min(round(2 * length / _CELL - 1), _MOST)))
    return _windows(
        shape, counts, [length / (count + 1) for length, count in zip(shape, counts, strict=True)]
    )


def tiles(shape: tuple[int, int], reach: int) -> list[Window]:
    """Windows that overlap by twice what a kernel reaches, for one kernel."""
    overlap = 2 * reach
    counts = [max(1, math.ceil((length - overlap) / (TILE - overlap))) for length in shape]
    return _windows(shape, counts, [overlap if count > 1 else 0 for count in counts])


def _windows(shape, counts, overlaps) -> list[Window]:
    spans = []
    for length, count, overlap in zip(shape, counts, overlaps, strict=True):
        step = (length - overlap) / count
        starts = [2 * round(step * i / 2) for i in range(count)]
        stops = [*(2 * round((step * i + overlap) / 2) for i in range(1, count)), length]
        before = [0, *(stop - start for start, stop in zip(starts[1:], stops, strict=False))]
        spans.append(
            [
                (slice(start, stop), _ramps(stop - start, up, down))
                for start, stop, up, down in zip(
                    starts, stops, before, [*before[1:], 0], strict=True
                )
            ]
        )
    return [
        Window(rows, columns, y[:, np.newaxis] * x)
        for (rows, y), (columns, x) in itertools.product(*spans)
    ]


def _ramps(length: int, up: int, down: int) -> np.ndarray:
    """Weights that rise over the first `up` pixels from 0 to 1, and fall over the last `down`."""
    weights = np.ones(length, np.float32)
    weights[:up] *= (np.arange(up) + 0.5) / max(up, 1)
    weights[length - down :] *= (np.arange(down)[::-1] + 0.5) / max(down, 1)
    return weights


def local_kernel(luma, clipped, kernel: np.ndarray, window: Window) -> np.ndarray:
    """The kernel of a window, begun from the whole picture's."""
    at = window.rows, window.columns
    part, clipped = luma[at], clipped[at]
    crop = best_crop(part, clipped)
    return refine_kernel(part[crop], kernel, clipped[crop], _ITERATIONS)


def explains_better(luma, clipped, own: np.ndarray, whole: np.ndarray, window: Window) -> bool:
    """Whether a window's own kernel explains it better than the whole picture's."""
    at = window.rows, window.columns
    part, clipped = luma[at], clipped[at]
    crop = best_crop(part, clipped)
    first, second = energies(part[crop], clipped[crop], [own, whole], SPARSITY)
    return first < second


def deconvolve_windows(
    picture: Parts, windows, kernels, clipped, sigma: float, iterations: int, start=None
) -> Parts:
    """`deconvolve` of the parts of a picture, with a kernel for each window.

    Args:
        picture: its residual is not used.
        windows, kernels: of equal number.
        clipped, sigma, iterations: as for `deconvolve`.
        start: Parts, a first estimate.
    """
    result = Parts(*(np.zeros_like(part) for part in picture))

    def luma_of(window, kernel):
        at = window.places.luma
        begin = start.luma[at] if start else None
        return deconvolve(picture.luma[at], kernel, clipped[at], sigma, iterations, begin)

    def colours_of(window, kernel):
        at = window.places.colours
        begin = start.colours[at] if start else None
        kernel = half_kernel(kernel)
        return deconvolve(picture.colours[at], kernel, None, sigma / 2, iterations, begin)

    # A few windows at once, because all of them would take much memory.
    pairs, at_once = list(zip(windows, kernels, strict=True)), fft.get_workers()
    for some in (pairs[i : i + at_once] for i in range(0, len(pairs), at_once)):
        works = [(luma_of, *pair) for pair in some]
        works += [(colours_of, *pair) for pair in some if len(picture.colours)]
        found = in_threads(lambda work: work[0](*work[1:]), works)
        for (window, _), (luma, residual) in zip(some, found, strict=False):
            result.luma[window.places.luma] += window.weights * luma
            result.residual[window.places.luma] += window.weights * residual
        for (window, _), (colours, _) in zip(some, found[len(some) :], strict=False):
            result.colours[window.places.colours] += window.weights[::2, ::2] * colours
    return result
