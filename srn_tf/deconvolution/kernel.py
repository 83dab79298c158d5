"""The blur kernel of a picture, estimated from the picture alone.

Coarse to fine, the sharp picture S and the kernel k of the blurred picture B = k * S + noise are
estimated in turn: S with a penalty on the number of its gradients that are not zero (Xu, Zheng and
Jia, "Unnatural L0 sparse representation for natural image deblurring", CVPR 2013; Pan et al.,
"Deblurring text images via L0-regularized intensity and gradient prior", CVPR 2014), k by least
squares on the strong gradients of S.
"""

import functools
import math

import cv2
import numpy as np
from scipy import fft

from srn_tf.deconvolution import fourier
from srn_tf.deconvolution.threads import in_threads

RATIO = math.sqrt(0.5)  # of the sizes of neighbouring levels of the pyramid
SMALLEST = 5  # size of the kernel at the coarsest level
ITERATIONS = 5  # a level
CLIPPED = 0.985  # values from here on may have been cut off
CROP = 512  # side of the part of a picture that a kernel is estimated from

# How many kernels go on from a level: one that began in the wrong direction may end where it
# explains less.
_KEPT = {3: 2, 0: 1}
# lambda of the L0 penalty at the first and the last iteration of a level. A large one keeps a
# kernel from shrinking to a point, a smaller one finds its shape.
_COARSE, _FINEST = (2e-2, 1e-3), (4e-3, 1e-3)
_BETA_STEP = 4.0
_EDGE = 1 / 255  # differences from here on count in the energy
_BETA_LAST = 1e2
_KERNEL_PENALTY = 2.0
_KERNEL_STEPS = 30
_KERNEL_NOISE = 0.02  # of the maximum: smaller values become zero
_KERNEL_PART = 0.1  # of the sum: smaller connected parts are dropped
_THRESHOLD_STEP = 1.1
_THRESHOLD_RELIEF = 0.81


def estimate_kernel(luma: np.ndarray, size: int, clipped: np.ndarray | None = None) -> np.ndarray:
    """The kernel of uniform blur.

    Args:
        luma: float32 [height, width] in [0, 1].
        size: odd; the largest kernel looked for, in pixels.
        clipped: bool [height, width], where values were cut off; they do not count.

    Returns:
        float32 [size, size], not negative, with a sum of 1, its middle of mass within
        half a pixel of the middle.
    """
    if clipped is None:
        clipped = luma >= CLIPPED
    levels = [_level(luma, clipped, size, i) for i in range(_levels(size) + 1)]
    kernels = _starts(levels[-1].size)
    for i, level in reversed(list(enumerate(levels))):
        kernels = [_resized(kernel, level.size) for kernel in kernels]
        how = ITERATIONS, _FINEST if i == 0 else _COARSE
        kernels = in_threads(functools.partial(level.refine, *how), kernels)
        if i in _KEPT:
            kernels = sorted(kernels, key=lambda k: level.energy(k, _FINEST[1]))[: _KEPT[i]]
    return kernels[0]


def refine_kernel(
    luma: np.ndarray, kernel: np.ndarray, clipped: np.ndarray, iterations: int
) -> np.ndarray:
    """A kernel of the same size that suits a part of a picture; begun from the whole picture's."""
    return _Level(luma, clipped, len(kernel)).refine(iterations, _FINEST, kernel)


def _levels(size: int) -> int:
    """The number of the coarsest level."""
    return max(0, math.floor(math.log(SMALLEST / size) / math.log(RATIO)))


def _level(luma: np.ndarray, clipped: np.ndarray, size: int, i: int) -> "_Level":
    """Level i, for kernels that reach `size` at level 0."""
    if i:
        shape = [max(8, round(length * RATIO**i)) for length in luma.shape]
        luma, clipped = (
            cv2.resize(part.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
            for part in (luma, clipped)
        )
    return _Level(luma, clipped > 0, odd(size * RATIO**i))


def _starts(size: int) -> list[np.ndarray]:
    """Two neighbouring pixels, in each of four directions."""
    starts = []
    for dy, dx in ((0, 1), (1, 1), (1, 0), (1, -1)):
        kernel = np.zeros((size, size), np.float32)
        kernel[size // 2, size // 2] = kernel[size // 2 + dy, size // 2 + dx] = 0.5
        starts.append(kernel)
    return starts


def odd(size: float) -> int:
    """The smallest odd whole number that is not smaller."""
    return 2 * math.ceil((size - 1) / 2) + 1


class _Level:
    """One level of the pyramid."""

    def __init__(self, luma: np.ndarray, clipped: np.ndarray, size: int):
        self.size = size
        self.shape = fourier.good_size(luma.shape, size)
        self._blurred = fourier.periodic(luma, self.shape)
        self._spectrum = fft.rfft2(self._blurred)
        self._laplacian = fourier.laplacian_power(self.shape)
        # Gradients count inside the picture, but not beside clipped pixels.
        inside = np.zeros(self.shape, np.float32)
        reach = cv2.dilate(clipped.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
        inside[: luma.shape[0] - 1, : luma.shape[1] - 1] = reach[:-1, :-1]
        self._inside = inside
        self._clipped = np.zeros(self.shape, bool)
        self._clipped[: luma.shape[0], : luma.shape[1]] = clipped
        self._gradient_spectrum = fft.rfft2(fourier.gradient(self._blurred) * inside)

    def refine(
        self, iterations: int, sparsities: tuple[float, float], kernel: np.ndarray
    ) -> np.ndarray:
        first, last = sparsities
        threshold = None
        for i in range(iterations):
            sparsity = first * (last / first) ** (i / max(1, iterations - 1))
            sharp = self.sharp(kernel, sparsity)
            edges, threshold = self._select(fourier.gradient(sharp), threshold)
            kernel = self._kernel(edges, kernel)
            threshold /= _THRESHOLD_STEP
        return kernel

    def sharp(self, kernel: np.ndarray, sparsity: float) -> np.ndarray:
        """min |k * S - B|^2 + sparsity |grad S|_0, by half-quadratic splitting."""
        otf = fourier.transfer(kernel, self.shape)
        power = fourier.power(otf)
        data = np.conj(otf) * self._spectrum
        sharp, beta = self._blurred, 2 * sparsity
        while beta < _BETA_LAST:
            field = fourier.gradient(sharp)
            keep = field[0] ** 2 + field[1] ** 2 >= sparsity / beta
            spectrum = data
            if keep.any():
                field *= keep
                spectrum = data + beta * fft.rfft2(fourier.gradient_adjoint(field))
            sharp = fft.irfft2(spectrum / (power + beta * self._laplacian), self.shape)
            beta *= _BETA_STEP
        return sharp

    def energy(self, kernel: np.ndarray, sparsity: float) -> float:
        """What `sharp` minimises: small where a kernel explains the picture by few edges."""
        sharp = self.sharp(kernel, sparsity)
        otf = fourier.transfer(kernel, self.shape)
        residual = fft.irfft2(otf * fft.rfft2(sharp), self.shape) - self._blurred
        edges = (fourier.gradient(sharp) ** 2).sum(0) > _EDGE**2
        data = float((self._inside * residual**2).sum())
        return data + sparsity * float((self._inside * edges).sum())

    def _select(self, field: np.ndarray, threshold: float | None) -> tuple[np.ndarray, float]:
        """The gradients above the threshold, and this: the first one, or lower if none is."""
        field *= self._inside
        strength = np.sqrt(field[0] ** 2 + field[1] ** 2)
        if threshold is None:
            threshold = self._first_threshold(field, strength)
        keep = strength > threshold
        while not keep.any() and threshold > 1e-6:
            threshold *= _THRESHOLD_RELIEF
            keep = strength > threshold
        return field * keep, threshold

    def _first_threshold(self, field: np.ndarray, strength: np.ndarray) -> float:
        """So low that in each quarter of directions enough gradients stay."""
        count = max(20 * self.size, 10)
        quarter = (np.arctan2(field[1], field[0]) % np.pi // (np.pi / 4)).astype(int)
        lowest = math.inf
        for q in range(4):
            strengths = strength[(quarter == q) & (strength > 0)]
            if len(strengths) > count:
                lowest = min(lowest, np.partition(strengths, -count)[-count])
            elif len(strengths):
                lowest = min(lowest, strengths.min())
        return 0.0 if math.isinf(lowest) else float(lowest) * 0.999

    def _kernel(self, edges: np.ndarray, start: np.ndarray) -> np.ndarray:
        """min |edges * k - grad B|^2 + penalty |k|^2, k >= 0 on its support, made a kernel."""
        size = self.size
        spectra = fft.rfft2(edges)
        own = fft.irfft2(fourier.power(spectra).sum(0), self.shape)
        cross = fft.irfft2((np.conj(spectra) * self._gradient_spectrum).sum(0), self.shape)
        radius = size // 2
        target = np.roll(cross, (radius, radius), (0, 1))[:size, :size]
        # Toeplitz, so a product is a convolution; periodic at twice the size it is the same.
        lags = np.roll(own, (size - 1, size - 1), (0, 1))[: 2 * size - 1, : 2 * size - 1]
        shape = fourier.good_size(lags.shape, 0)
        otf = fourier.transfer(lags, shape).real

        def apply(k):
            return fft.irfft2(otf * fft.rfft2(k, shape), shape)[:size, :size] + _KERNEL_PENALTY * k

        # Gradient steps with momentum (Beck and Teboulle, "A fast iterative shrinkage-thresholding
        # algorithm for linear inverse problems", SIAM J. Imaging Sciences 2009), cut off at zero.
        length = 1 / (otf.max() + _KERNEL_PENALTY)
        kernel, ahead, pace = start, start, 1.0
        for _ in range(_KERNEL_STEPS):
            before = kernel
            kernel = np.maximum(ahead + length * (target - apply(ahead)), 0)
            pace, pace_before = (1 + math.sqrt(1 + 4 * pace**2)) / 2, pace
            ahead = kernel + (pace_before - 1) / pace * (kernel - before)
        return _cleaned(kernel)


def _cleaned(kernel: np.ndarray) -> np.ndarray:
    """Without faint values and small parts, normalised, its middle of mass within half a pixel."""
    kernel = np.where(kernel < _KERNEL_NOISE * kernel.max(), 0, kernel).astype(np.float32)
    if kernel.sum() <= 0:
        kernel = np.zeros_like(kernel)
        kernel[len(kernel) // 2, len(kernel) // 2] = 1
        return kernel
    kernel /= kernel.sum()
    count, labels = cv2.connectedComponents((kernel > 0).astype(np.uint8), connectivity=8)
    sums = np.bincount(labels.ravel(), kernel.ravel(), count)
    kernel *= (sums >= min(_KERNEL_PART, sums[1:].max()))[labels]
    kernel /= kernel.sum()
    return _shifted(kernel, *(-round(d) for d in centroid(kernel)))


def centroid(kernel: np.ndarray) -> tuple[float, float]:
    """The middle of mass, (y, x) in pixels from the middle of the array."""
    ys, xs = (np.arange(size, dtype=np.float32) - size // 2 for size in kernel.shape)
    total = kernel.sum()
    return float(ys @ kernel.sum(1) / total), float(xs @ kernel.sum(0) / total)


def spread(kernel: np.ndarray) -> tuple[float, float]:
    """Standard deviations along and across the motion, in pixels."""
    y, x = np.indices(kernel.shape, np.float32)
    weights = kernel.ravel() / kernel.sum()
    places = np.stack([y.ravel(), x.ravel()])
    places -= (places @ weights)[:, np.newaxis]
    minor, major = np.linalg.eigvalsh((places * weights) @ places.T)
    return float(np.sqrt(max(major, 0))), float(np.sqrt(max(minor, 0)))


def extent(kernel: np.ndarray) -> int:
    """The longer side of the box around what is not zero, in pixels."""
    return max(int(np.ptp(np.flatnonzero(kernel.any(axis)))) + 1 for axis in (0, 1))


def energies(
    luma: np.ndarray, clipped: np.ndarray, kernels: list[np.ndarray], sparsity: float
) -> list[float]:
    """How badly kernels explain a picture by few edges."""
    level = _Level(luma, clipped, max(map(len, kernels)))
    return [level.energy(kernel, sparsity) for kernel in kernels]


def _shifted(kernel: np.ndarray, dy: float, dx: float) -> np.ndarray:
    if dy == dx == 0:
        return kernel
    return cv2.warpAffine(
        kernel, np.array([[1, 0, dx], [0, 1, dy]], np.float32), kernel.shape[::-1]
    )


def _resized(kernel: np.ndarray, size: int) -> np.ndarray:
    """Enlarged about its middle as from one level to the next; as it is where it has the size."""
    if len(kernel) == size:
        return kernel
    shift = size // 2 - len(kernel) // 2 / RATIO
    matrix = np.array([[1 / RATIO, 0, shift], [0, 1 / RATIO, shift]], np.float32)
    kernel = cv2.warpAffine(kernel, matrix, (size, size), flags=cv2.INTER_LINEAR).clip(0)
    return kernel / kernel.sum()


def best_crop(luma: np.ndarray, clipped: np.ndarray, side: int = CROP) -> tuple[slice, slice]:
    """Where the part with the most usable edges lies."""
    height, width = luma.shape
    side_y, side_x = min(side, height), min(side, width)
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.5)
    strength = np.hypot(cv2.Sobel(smooth, -1, 1, 0), cv2.Sobel(smooth, -1, 0, 1))
    strength = np.minimum(strength, np.quantile(strength[::4, ::4], 0.98)) ** 2
    strength[clipped] = 0
    sums = cv2.integral(strength)
    ys, xs = np.arange(0, height - side_y + 1, 16), np.arange(0, width - side_x + 1, 16)
    total = (
        sums[np.ix_(ys + side_y, xs + side_x)]
        - sums[np.ix_(ys, xs + side_x)]
        - sums[np.ix_(ys + side_y, xs)]
        + sums[np.ix_(ys, xs)]
    )
    y, x = np.unravel_index(total.argmax(), total.shape)
    return np.s_[ys[y] : ys[y] + side_y, xs[x] : xs[x] + side_x]
