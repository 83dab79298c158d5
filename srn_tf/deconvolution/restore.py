"""A blurred picture in, the restored one out: kernels, deconvolution and trust, in this order."""

import dataclasses

import numpy as np

from srn_tf.deconvolution import trust
from srn_tf.deconvolution.colour import join, luma_of, split
from srn_tf.deconvolution.deconvolve import ITERATIONS, noise, softened
from srn_tf.deconvolution.find import Found, find_kernel, judged
from srn_tf.deconvolution.grid import (
    Parts,
    Window,
    deconvolve_windows,
    explains_better,
    grid,
    local_kernel,
    tiles,
)
from srn_tf.deconvolution.kernel import CLIPPED, best_crop, extent, refine_kernel
from srn_tf.deconvolution.threads import in_threads

_LOCAL_ITERATIONS = 12  # of a deconvolution that begins as the whole picture's
_FRAME_ITERATIONS = 3  # for a kernel that begins as that of the frame before
_SMALLEST = 32  # side of a picture that a kernel can be found in


@dataclasses.dataclass(frozen=True)
class Options:
    """How a picture is restored.

    Attributes:
        size: of the largest kernel looked for, in pixels; by default as of `find_kernel`.
        grid: whether parts of the picture have kernels of their own.
        strength: 0 to 1, how much of the restored picture replaces the blurred one where it is
            trusted.
        start: float32 [odd, odd], a kernel to begin with, as that of the frame before.
    """

    size: int | None = None
    grid: bool = True
    strength: float = 1.0
    start: np.ndarray | None = None


DEFAULTS = Options()


@dataclasses.dataclass(frozen=True)
class Decision:
    """What was found in a picture, and how far it was followed.

    Attributes:
        kernel: float32 [odd, odd], of the whole picture; None where none was looked for.
        kernels: those of the windows of the grid; none without a grid, or where `kernel` is not
            trusted.
        trust: float32 [height, width] in [0, 1], how much of the restored picture was taken.
        words: the same for people, such as "kernel of 17 pixels, trusted on 83%".
    """

    kernel: np.ndarray | None
    kernels: list[tuple[Window, np.ndarray]]
    trust: np.ndarray
    words: str

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """To look at, in [0, 1]: the kernel, relative to its largest value, and the trust."""
        kernel = {} if self.kernel is None else {"kernel": self.kernel / self.kernel.max()}
        return {**kernel, "trust": self.trust}


def restore(picture: np.ndarray, options: Options = DEFAULTS) -> tuple[np.ndarray, Decision]:
    """Restores a picture, where that can be trusted; elsewhere it stays as it is.

    Args:
        picture: float32 [height, width, 1 or 3] in [0, 1]; 3 are red, green and blue.
        options: see there.

    Returns:
        The restored picture, of the same shape, within [0, 1]; and what was decided.
    """
    luma = luma_of(picture)
    clipped = (picture >= CLIPPED).any(-1)
    if min(luma.shape) < _SMALLEST:
        return _as_it_is(picture, None, "too small")
    if options.start is None:
        found = find_kernel(luma, clipped, options.size)
    else:
        found = _follow(luma, clipped, options.start)
    kernel = found.kernel
    if found.doubt:
        return _as_it_is(picture, kernel, found.doubt)
    parts = Parts(*split(picture), np.zeros_like(luma))
    sharp, kernels = _deconvolve(parts, clipped, kernel, options.grid)
    weights = options.strength * trust.by_pixel(luma, sharp.residual, kernel)
    restored = softened(join(sharp.luma, sharp.colours).clip(0, 1))
    restored = picture + weights[..., np.newaxis] * (restored - picture)
    words = f"kernel of {extent(kernel)} pixels, trusted on {(weights > 0.5).mean():.0%}"
    return restored, Decision(kernel, kernels, weights, words)


def _as_it_is(picture: np.ndarray, kernel: np.ndarray | None, why: str):
    nowhere = np.zeros(picture.shape[:2], np.float32)
    return picture.copy(), Decision(kernel, [], nowhere, f"left as it is: {why}")


def _follow(luma: np.ndarray, clipped: np.ndarray, start: np.ndarray) -> Found:
    """As `find_kernel`, begun from the kernel of the frame before."""
    at = best_crop(luma, clipped)
    kernel = refine_kernel(luma[at], start, clipped[at], _FRAME_ITERATIONS)
    return judged(luma[at], clipped[at], kernel)


def _deconvolve(parts: Parts, clipped: np.ndarray, kernel: np.ndarray, with_grid: bool):
    """The deconvolved parts, and the windows that have kernels of their own with these."""
    shape, sigma = parts.luma.shape, noise(parts.luma)
    windows = tiles(shape, len(kernel))
    kernels = [kernel] * len(windows)
    sharp = deconvolve_windows(parts, windows, kernels, clipped, sigma, ITERATIONS)
    windows = grid(shape)
    if not with_grid or len(windows) == 1:
        return sharp, []

    def better(window):
        own = local_kernel(parts.luma, clipped, kernel, window)
        return own if explains_better(parts.luma, clipped, own, kernel, window) else kernel

    kernels = in_threads(better, windows)
    sharp = deconvolve_windows(parts, windows, kernels, clipped, sigma, _LOCAL_ITERATIONS, sharp)
    return sharp, list(zip(windows, kernels, strict=True))
