"""How close a restored picture is to the sharp one: PSNR, and SSIM under the names it goes by.

SSIM compares means, variances and covariance under a Gaussian window of sigma 1.5, 11 pixels wide
(Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004).
What published numbers differ in:

| name | pictures | window | edges |
|---|---|---|---|
| `ssim` | R, G and B alone, then their mean | 11x11 | only windows inside the picture, as Wang |
| `ssim_luma` | luma of 8 bits: MATLAB's ssim(rgb2gray(x), rgb2gray(y)) | 11x11 | repeated |
| `ssim_matlab3d` | RGB as a volume: MATLAB's ssim(x, y) | 11x11x11 | repeated, channels too |
| `ms_ssim` | luma at five scales: "MSSIM" of the Köhler benchmark | 11x11 | inside only |

`ssim_matlab3d` is what Tao et al. and Nah et al. report on GOPRO; it also smooths across the three
channels, and mostly reads higher than `ssim`.
"""

import cv2
import numpy as np

from srn_tf import UserError
from srn_tf.images.rgb import LUMA

_WINDOW = cv2.getGaussianKernel(11, 1.5)
_MARGIN = 5  # pixels at each edge whose window reaches over it
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

# The window along three channels, the first and the last repeated, as a 3x3 matrix.
_ACROSS_CHANNELS = cv2.sepFilter2D(
    np.eye(3), -1, np.ones(1), _WINDOW, borderType=cv2.BORDER_REPLICATE
)

# MS-SSIM: the exponents of the scales from fine to coarse, and the low-pass filter before each
# halving, the analysis filter of the biorthogonal 9/7 wavelet.
_SCALE_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_LOW_PASS_SIDE = (0.037828455507260, -0.023849465019560, -0.110624404418440, 0.377402855612830)
_LOW_PASS = np.array([*_LOW_PASS_SIDE, 0.852698679008890, *_LOW_PASS_SIDE[::-1]])
_LOW_PASS /= _LOW_PASS.sum()


def psnr(sharp: np.ndarray, restored: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures; infinite if they are equal."""
    if np.array_equal(sharp, restored):
        return float("inf")
    # Here, as it imports all of SciPy's statistics: half a second, which only scores need.
    from skimage.metrics import peak_signal_noise_ratio

    return float(peak_signal_noise_ratio(sharp, restored, data_range=255))


def ssim(sharp: np.ndarray, restored: np.ndarray) -> float:
    """SSIM of R, G and B, averaged; equal to scikit-image's with Wang's parameters, but faster.

    Args:
        sharp, restored: uint8 [height, width, 3], at least 11 pixels a side.

    Raises:
        UserError: for smaller pictures.
    """
    _require(sharp, 11, "SSIM")
    similarity = _similarity(sharp, restored, _smooth)
    return float(similarity[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN].mean())


def ssim_luma(sharp: np.ndarray, restored: np.ndarray) -> float:
    """SSIM of the luma, as MATLAB's ssim(rgb2gray(sharp), rgb2gray(restored)).

    The luma is 0.2989 R + 0.5870 G + 0.1140 B (ITU-R BT.601, full range), rounded to 8 bits. It is
    not the Y of MATLAB's rgb2ycbcr, which runs from 16 to 235.

    Args:
        sharp, restored: uint8 [height, width, 3], at least 11 pixels a side.

    Raises:
        UserError: for smaller pictures.
    """
    _require(sharp, 11, "SSIM")
    lumas = [np.rint(picture @ np.array(LUMA)) for picture in (sharp, restored)]
    return float(_similarity(*lumas, _smooth).mean())


def ssim_matlab3d(sharp: np.ndarray, restored: np.ndarray) -> float:
    """SSIM of [height, width, 3] taken as a volume, as MATLAB's ssim(sharp, restored).

    Args:
        sharp, restored: uint8 [height, width, 3], at least 11 pixels a side.

    Raises:
        UserError: for smaller pictures.
    """
    _require(sharp, 11, "SSIM")

    def smooth(values):
        return cv2.transform(_smooth(values), _ACROSS_CHANNELS)

    return float(_similarity(sharp, restored, smooth).mean())


def ms_ssim(sharp: np.ndarray, restored: np.ndarray) -> float:
    """Multi-scale SSIM as in MeTriX MuX 1.1, which the Köhler benchmark calls MSSIM.

    After Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality
    assessment" (2003), but halving behind the 9/7 wavelet's low-pass filter, edges mirrored. At
    each of five scales the means of contrast and structure over the picture, at the coarsest of
    luminance too, are raised to the exponents of that paper and multiplied. Where structure is
    negative on average, the result is 0.

    Args:
        sharp, restored: luma, float64 [height, width], about 0 to 255, at least 161 pixels a side:
            then the coarsest scale has 11.

    Raises:
        UserError: for smaller pictures.
    """
    _require(sharp, 161, "MS-SSIM")
    product = 1.0
    for scale, exponent in enumerate(_SCALE_EXPONENTS):
        if scale > 0:
            sharp, restored = _half(sharp), _half(restored)
        moments = _moments(
            sharp, restored, lambda x: _smooth(x)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        )
        mean_x, mean_y, variance_x, variance_y, covariance = moments
        # Rounding makes the variance of a flat window slightly negative.
        deviations = np.sqrt(np.maximum(variance_x, 0) * np.maximum(variance_y, 0))
        contrast = (2 * deviations + _C2) / (variance_x + variance_y + _C2)
        structure = (covariance + _C2 / 2) / (deviations + _C2 / 2)
        product *= (contrast.mean() * max(structure.mean(), 0)) ** exponent
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return float(product * luminance.mean() ** exponent)


def _require(picture, size: int, name: str) -> None:
    height, width = picture.shape[:2]
    if min(height, width) < size:
        raise UserError(f"{name} needs {size} pixels a side, not {width}x{height}")


def _smooth(values):
    # OpenCV, because it is nearly three times as fast as scipy here, and scoring GOPRO's 1111
    # pictures would otherwise take as long as restoring them.
    return cv2.sepFilter2D(values, -1, _WINDOW, _WINDOW, borderType=cv2.BORDER_REPLICATE)


def _half(values):
    smooth = cv2.sepFilter2D(values, -1, _LOW_PASS, _LOW_PASS, borderType=cv2.BORDER_REFLECT)
    return smooth[::2, ::2]


def _moments(x, y, smooth):
    """Means, variances and covariance under the window, in float64: the variances cancel."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    mean_x, mean_y = smooth(x), smooth(y)
    variance_x = smooth(x * x) - mean_x**2
    variance_y = smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    return mean_x, mean_y, variance_x, variance_y, covariance


def _similarity(x, y, smooth):
    """SSIM of each pixel."""
    mean_x, mean_y, variance_x, variance_y, covariance = _moments(x, y, smooth)
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    similarity /= (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    return similarity
