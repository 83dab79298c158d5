"""How close a restored picture is to the sharp one: PSNR and SSIM of 8-bit pictures.

SSIM has several meanings. `ssim` is the usual one, per channel and averaged. `ssim_matlab3d` is
what MATLAB's ssim() gives for an RGB volume, which the paper reports: it also smooths across the
three channels, and mostly reads higher.
"""

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage import metrics as skimage_metrics


def psnr(sharp: np.ndarray, restored: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures; infinite if they are equal."""
    if np.array_equal(sharp, restored):
        return float("inf")
    return float(skimage_metrics.peak_signal_noise_ratio(sharp, restored, data_range=255))


def ssim(sharp: np.ndarray, restored: np.ndarray) -> float:
    """SSIM (Wang et al. 2004) with a Gaussian of sigma 1.5, 11 pixels wide, mean of the channels.

    Args:
        sharp, restored: uint8 [height, width, 3], at least 11 pixels a side.

    Raises:
        ValueError: for smaller pictures.
    """
    if min(sharp.shape[:2]) < 11:
        raise ValueError(f"SSIM needs 11 pixels a side, not {sharp.shape[1]}x{sharp.shape[0]}")
    return float(
        skimage_metrics.structural_similarity(
            sharp,
            restored,
            data_range=255,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def ssim_matlab3d(sharp: np.ndarray, restored: np.ndarray) -> float:
    """MATLAB's ssim() on [height, width, 3] as a volume: a 3-D Gaussian, edges repeated."""
    x, y = sharp.astype(np.float64), restored.astype(np.float64)

    def smooth(values):
        return gaussian_filter(values, sigma=1.5, radius=5, mode="nearest")

    mean_x, mean_y = smooth(x), smooth(y)
    variance_x = smooth(x * x) - mean_x**2
    variance_y = smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float(similarity.mean())
