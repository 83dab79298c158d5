"""Deconvolution with a known kernel: few ringing artefacts, also at edges, lights and outliers.

    min 1/2 |w (k * S - B)|^2 + lambda sum |grad S|^(3/4)

by the alternating direction method of multipliers, split into u = k * S, known only inside the
picture (Almeida and Figueiredo, "Deconvolving images with unknown boundaries", TIP 2013), and
v = grad S, with the sparse gradients of natural pictures (Krishnan and Fergus, NIPS 2009). The
weights w are zero beyond the edge, small where no picture explains B (Cho, Wang and Lee, "Handling
outliers in non-blind image deconvolution", ICCV 2011), and where B was cut off, k * S may be more.
"""

import cv2
import numpy as np
from scipy import fft

from srn_tf.deconvolution import fourier
from srn_tf.deconvolution.kernel import centroid

ITERATIONS = 25
_PENALTY = 10  # times sigma^2
_LOWEST_PENALTY = 2.5e-4
_RHO_V = 10
_RHO_U = 0.1
_OUTLIER = 4.0  # times sigma
_LOWEST_OUTLIER = 0.02
_SOFTNESS = 0.5  # standard deviation, in pixels


def noise(picture: np.ndarray) -> float:
    """Standard deviation of the noise of [..., height, width], from its finest diagonal details."""
    p = picture[..., : picture.shape[-2] // 2 * 2, : picture.shape[-1] // 2 * 2]
    details = p[..., ::2, ::2] - p[..., 1::2, ::2] - p[..., ::2, 1::2] + p[..., 1::2, 1::2]
    return float(np.median(np.abs(details)) / 2 / 0.6745)


def deconvolve(
    picture: np.ndarray,
    kernel: np.ndarray,
    clipped: np.ndarray | None = None,
    sigma: float = 0.0,
    iterations: int = ITERATIONS,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The sharp picture S, and what it does not explain.

    Args:
        picture: float32 [..., height, width] in [0, 1].
        kernel: float32 [odd, odd] with a sum of 1; its middle of mass is taken as its origin.
        clipped: bool [height, width], where values were cut off, so that k * S may be larger.
        sigma: standard deviation of the noise.
        iterations: of the method.
        start: float32 as `picture`, a first estimate.

    Returns:
        (S, not clipped; k * S - picture), float32, both shaped as `picture`.
    """
    lam = max(_PENALTY * sigma**2, _LOWEST_PENALTY)
    rho_v, rho_u = _RHO_V * lam, _RHO_U
    height, width = picture.shape[-2:]
    size = fourier.good_size((height, width), 2 * len(kernel))
    blurred = fourier.periodic(picture, size)
    weights = np.zeros(size, np.float32)
    weights[:height, :width] = 1
    over = np.zeros(size, bool)
    if clipped is not None:
        over[:height, :width] = clipped
    otf = fourier.transfer(kernel, size) * fourier.moved(centroid(kernel), size)
    inverse = 1 / (rho_u * fourier.power(otf) + rho_v * fourier.laplacian_power(size))
    back, smooth = rho_u * np.conj(otf) * inverse, rho_v * inverse
    sharp = blurred if start is None else fourier.periodic(start, size)
    spectrum = fft.rfft2(sharp)
    reblurred = fft.irfft2(otf * spectrum, size)
    d_u = d_v = np.float32(0)
    for i in range(iterations):
        if i == iterations // 2 and _OUTLIER:
            weights[:height, :width] = _trusted(reblurred - blurred, sigma)[:height, :width]
        target = reblurred - d_u
        u = (weights * blurred + rho_u * target) / (weights + rho_u)
        np.copyto(u, target, where=over & (target > blurred))
        d_u = u - target
        field = fourier.gradient(sharp) - d_v
        v = _shrunk(field, 1 / _RHO_V)
        d_v = v - field
        spectrum = back * fft.rfft2(u + d_u) + smooth * fft.rfft2(fourier.gradient_adjoint(v + d_v))
        sharp = fft.irfft2(spectrum, size)
        reblurred = fft.irfft2(otf * spectrum, size)
    return sharp[..., :height, :width], (reblurred - blurred)[..., :height, :width]


def softened(picture: np.ndarray) -> np.ndarray:
    """As soft as sharp pictures of cameras are, [height, width, channels].

    The kernel found has this softness in it, so that what is deconvolved by it is sharper than any
    picture (as Magain, Courbin and Sohy, "Deconvolution with correct sampling", ApJ 1998,
    deconvolve to a given softness).
    """
    return cv2.GaussianBlur(picture, (0, 0), _SOFTNESS).reshape(picture.shape)


def _trusted(residual: np.ndarray, sigma: float) -> np.ndarray:
    """How far pixels count: little where the channels' residuals are beyond the noise."""
    if residual.ndim == 3:
        residual = np.sqrt((residual**2).mean(0))
    limit = max(_OUTLIER * sigma, _LOWEST_OUTLIER)
    return 1 / (1 + (residual / limit) ** 2)


def _shrunk(field: np.ndarray, amount: float) -> np.ndarray:
    """Nearly argmin |v|^p + 1 / (2 amount) |v - field|^2 (p-shrinkage: Chartrand, ISBI 2012)."""
    strength = np.abs(field)
    np.maximum(strength, 1e-6, out=strength)
    # strength^(p - 2) at p = 3/4, by roots, which are several times faster than powers
    strength *= np.sqrt(np.sqrt(strength))
    np.divide(-amount, strength, out=strength)
    strength += 1
    np.maximum(strength, 0, out=strength)
    strength *= field
    return strength
