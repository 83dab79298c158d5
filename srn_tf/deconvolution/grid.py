"""Blur that differs over a picture: kernels on a grid of overlapping windows.

Within a window the blur is taken as uniform; the restored windows are blended (Hirsch, Schuler,
Harmeling and Schölkopf, "Fast removal of non-uniform camera shake", ICCV 2011).
"""

import itertools

import numpy as np

from srn_tf.deconvolution.colour import half_kernel
from srn_tf.deconvolution.deconvolve import deconvolve
from srn_tf.deconvolution.kernel import estimate_kernel

SIDE = 320  # of a window, in pixels, unless there would be too many
MOST = 4  # windows a side
_ITERATIONS = 3  # for a kernel that begins as the whole picture's
_STEPS = 12  # of a deconvolution that begins as the whole picture's


def windows(shape: tuple[int, int], side: int = SIDE, most: int = MOST) -> list:
    """Windows that overlap by half.

    Returns:
        ((slice, slice), float32 [h, w]) for each: where, from an even row and column on, and its
        weights, which add up to 1.
    """
    spans = []
    for length in shape:
        count = int(np.clip(round(2 * length / side - 1), 1, most))
        edges = (np.linspace(0, length, count + 2) / 2).round().astype(int) * 2
        edges[-1] = length
        spans.append(
            [
                (slice(a, c), _ramps(b - a, c - b, i > 0, i < count - 1))
                for i, (a, b, c) in enumerate(zip(edges, edges[1:], edges[2:], strict=False))
            ]
        )
    return [
        ((rows, columns), y[:, np.newaxis] * x)
        for (rows, y), (columns, x) in itertools.product(*spans)
    ]


def _ramps(up: int, down: int, rises: bool, falls: bool) -> np.ndarray:
    """Weights of a window, from 0 to 1 over half of it and back, but 1 at the picture's edge."""
    weights = np.ones(up + down, np.float32)
    if rises:
        weights[:up] = (np.arange(up) + 0.5) / up
    if falls:
        weights[up:] = (np.arange(down)[::-1] + 0.5) / down
    return weights


def local_kernels(luma, kernel, clipped, cells) -> list[np.ndarray]:
    """The kernel of each of `cells` (of `windows`), begun from the whole picture's."""
    return [
        estimate_kernel(luma[at], len(kernel), clipped[at], kernel, _ITERATIONS) for at, _ in cells
    ]


def deconvolve_grid(luma, colours, kernels, cells, clipped, sigma, start):
    """As `deconvolve_colour`, with a kernel for each of `cells`, begun from its result `start`."""
    results = [np.zeros_like(part) for part in start]
    for (at, weights), kernel in zip(cells, kernels, strict=True):
        half = tuple(slice(span.start // 2, -(-span.stop // 2)) for span in at)
        places = at, (slice(None), *half), at
        parts = deconvolve_colour(
            *(luma[at], colours[:, *half], kernel, clipped[at], sigma, _STEPS),
            start=[part[place] for part, place in zip(start, places, strict=True)],
        )
        for result, part, place in zip(results, parts, places, strict=True):
            result[place] += part * (weights[::2, ::2] if place is places[1] else weights)
    return results


def deconvolve_colour(luma, colours, kernel, clipped, sigma, iterations, start=None):
    """`deconvolve` of both parts of a picture (of `colour.split`).

    Returns:
        (luma, colours, the luma's residual), as of `deconvolve`.
    """
    begin = start or (None, None, None)
    sharp, residual = deconvolve(luma, kernel, clipped, sigma, iterations, begin[0])
    if len(colours):
        colours, _ = deconvolve(
            *(colours, half_kernel(kernel), None, sigma / 2, iterations, begin[1]),
        )
    return sharp, colours, residual
