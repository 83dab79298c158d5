"""Kernels of pictures: larger ones of larger pictures, and those of parts."""

import cv2
import numpy as np
import pytest

from srn_tf.deconvolution.colour import luma_of
from srn_tf.deconvolution.find import find_kernel
from srn_tf.deconvolution.kernel import spread
from srn_tf.restoration.classical import line_kernel


def blurred(photo, length, angle=25):
    """Luma of the photograph, float32 [496, 496], blurred along a line of this length and angle."""
    picture = luma_of(photo.astype(np.float32) / 255)
    noise = np.random.default_rng(0).normal(0, 0.003, picture.shape)
    picture = cv2.filter2D(picture, -1, line_kernel(length, angle)) if length else picture
    return (picture + noise)[8:-8, 8:-8].clip(0, 1).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("length", [52, 9])
def test_a_larger_blur_is_found_where_nothing_bounds_it(photo, length):
    luma = blurred(photo, length)
    clipped = np.zeros(luma.shape, bool)
    found, bounded = find_kernel(luma, clipped), find_kernel(luma, clipped, 41)
    assert not found.doubt
    assert 0.8 < spread(found.kernel)[0] / (length / 12**0.5) < 1.2
    assert len(bounded.kernel) == 41
    if length == 9:
        np.testing.assert_array_equal(found.kernel, bounded.kernel)


@pytest.mark.slow
def test_a_sharp_picture_has_no_kernel_of_any_size(photo):
    luma = blurred(photo, 0)
    assert find_kernel(luma, np.zeros(luma.shape, bool)).doubt.startswith("no motion blur")


@pytest.mark.slow
def test_where_two_motions_share_a_picture_the_kernel_is_that_of_a_part(photo):
    left, right = blurred(photo, 9), blurred(photo, 25, 90)
    luma = np.where(np.arange(496) < 342, left, right)[92:392]
    found = find_kernel(luma, np.zeros(luma.shape, bool), 31)
    assert not found.doubt
    # Of 9 pixels to the right and a little up, where the other is upright.
    ys, xs = np.indices(found.kernel.shape) - len(found.kernel) // 2
    assert (found.kernel * xs**2).sum() > 2 * (found.kernel * ys**2).sum()
    assert spread(found.kernel)[0] < 3.2
