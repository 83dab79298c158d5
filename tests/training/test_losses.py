"""The losses: the paper's, and those for short trainings."""

import numpy as np
import pytest

from srn_tf.training.losses import losses_of_scales, multi_scale_l2


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    sharp = rng.random((2, 8, 16, 3)).astype(np.float32)
    return sharp, [rng.random((2, 4, 8, 3)).astype(np.float32), rng.random(sharp.shape)]


def test_l2_is_the_mean_square_of_each_scale(pictures):
    sharp, outputs = pictures
    expected = [np.mean((outputs[0] - sharp[:, ::2, ::2]) ** 2), np.mean((outputs[1] - sharp) ** 2)]
    np.testing.assert_allclose(losses_of_scales(sharp, outputs), expected, rtol=1e-5)
    assert float(multi_scale_l2(sharp, outputs)) == pytest.approx(sum(expected), rel=1e-5)


def test_charbonnier_is_nearly_the_absolute_error(pictures):
    sharp, outputs = pictures
    error = outputs[1] - sharp
    _, loss = losses_of_scales(sharp, outputs, "charbonnier")
    assert float(loss) == pytest.approx(np.sqrt(error**2 + 1e-6).mean(), rel=1e-5)


def test_the_spectrum_is_that_of_each_channel_of_the_error(pictures):
    sharp, outputs = pictures
    with_it = losses_of_scales(sharp, outputs, "l2", 0.5)
    without = losses_of_scales(sharp, outputs, "l2", 0.0)
    for output, target, loss, plain in zip(
        outputs, (sharp[:, ::2, ::2], sharp), with_it, without, strict=True
    ):
        spectrum = np.fft.fft2(output - target, axes=(1, 2), norm="ortho")
        expected = np.abs(np.stack([spectrum.real, spectrum.imag])).mean()
        assert float(loss - plain) == pytest.approx(0.5 * expected, rel=1e-4)
