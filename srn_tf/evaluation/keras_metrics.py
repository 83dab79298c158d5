"""PSNR and SSIM as metrics of Keras, on any of its backends: the numbers of `metrics`, of batches.

Pictures are [batch, height, width, channels] in [0, 1]; both are rounded to 8 bits, as a file is.
"""

import math

import keras
import numpy as np
from keras import ops

_C1, _C2 = 0.01**2, 0.03**2
_OFFSETS = np.arange(-5, 6)
_WINDOW = np.exp(-(_OFFSETS**2) / (2 * 1.5**2))
_WINDOW = (_WINDOW / _WINDOW.sum()).astype(np.float32)


class _PictureMetric(keras.metrics.Mean):
    """The mean of a score over pictures."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        scores = self._scores(_in_8_bits(y_true), _in_8_bits(y_pred))
        return super().update_state(scores, sample_weight)


@keras.saving.register_keras_serializable("srn_tf")
class PSNR(_PictureMetric):
    """Mean peak signal-to-noise ratio in dB; infinite where two pictures are equal."""

    def __init__(self, name: str = "psnr", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def _scores(self, sharp, restored):
        return -10 / math.log(10) * ops.log(ops.mean((sharp - restored) ** 2, axis=(1, 2, 3)))


@keras.saving.register_keras_serializable("srn_tf")
class SSIM(_PictureMetric):
    """Mean SSIM of the channels under a Gaussian window of 11x11 (Wang et al. 2004), of pictures of
    at least 11 pixels a side."""

    def __init__(self, name: str = "ssim", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def _scores(self, sharp, restored):
        mean_x, mean_y = _smooth(sharp), _smooth(restored)
        x, y = sharp - 0.5, restored - 0.5  # less is cancelled in the variances
        near_x, near_y = mean_x - 0.5, mean_y - 0.5
        variance_x = _smooth(x * x) - near_x**2
        variance_y = _smooth(y * y) - near_y**2
        covariance = _smooth(x * y) - near_x * near_y
        similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
        similarity /= (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
        return ops.mean(similarity, axis=(1, 2, 3))


def _in_8_bits(pictures):
    pictures = ops.clip(ops.cast(pictures, "float32"), 0, 1)
    return ops.round(pictures * 255) / 255


def _smooth(pictures):
    """The means under the window, where it lies inside the picture."""
    kernel = ops.tile(ops.reshape(_WINDOW, (11, 1, 1, 1)), (1, 1, pictures.shape[-1], 1))
    rows = ops.depthwise_conv(pictures, kernel)
    return ops.depthwise_conv(rows, ops.transpose(kernel, (1, 0, 2, 3)))
