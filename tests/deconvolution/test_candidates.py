"""What a network has to choose from: deconvolutions nearer to the truth, and residuals."""

import cv2
import numpy as np
import pytest

from srn_tf.deconvolution.candidates import CANDIDATES, HINTS, candidates, similarity


def kernel():
    """A slanted line of 9 pixels, float32 [9, 9]."""
    line = np.eye(9, dtype=np.float32)
    return line / line.sum()


@pytest.fixture(scope="module")
def pictures():
    import skimage.data

    sharp = skimage.data.astronaut()[40:232, 130:322].astype(np.float32) / 255
    noise = np.random.default_rng(0).normal(0, 0.003, sharp.shape)
    return sharp, (cv2.filter2D(sharp, -1, kernel()) + noise).clip(0, 1).astype(np.float32)


def test_deconvolutions_are_nearer_to_the_sharp_picture(pictures):
    sharp, blurred = pictures
    *choices, hint = candidates(blurred, size=15).pictures
    assert (len(choices), HINTS) == (CANDIDATES, 1)
    inside = np.s_[16:-16, 16:-16]

    def error(picture):
        """The least over shifts, which no kernel can know."""
        shifts = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]
        moved = (np.roll(picture, shift, (0, 1)) for shift in shifts)
        return min(np.mean((m - sharp)[inside] ** 2) for m in moved)

    assert all(error(choice) < 0.6 * error(blurred) for choice in choices[:2])
    assert all(part.min() >= 0 and part.max() <= 1 for part in (*choices, hint))
    # Residuals of the size of the noise, ten times enlarged, around gray.
    assert abs(hint.mean() - 0.5) < 0.01
    assert 0.01 < hint.std() < 0.2


@pytest.mark.slow
def test_where_it_is_trusted_a_deconvolution_takes_part_in_the_result(pictures):
    sharp, blurred = pictures
    found = candidates(blurred, size=15)
    assert found.trust.min() >= 0 and 0.5 < found.trust.mean() <= 1
    mixed = found.improve(blurred)
    share = found.trust[..., np.newaxis] / 2
    soft = cv2.GaussianBlur(found.pictures[1], (0, 0), 0.5)
    np.testing.assert_allclose(mixed, (1 - share) * blurred + share * soft, atol=1e-6)
    found = candidates(sharp, size=15)
    np.testing.assert_array_equal(found.improve(blurred), blurred)


def test_a_picture_too_small_for_a_kernel_is_its_own_candidate():
    picture = np.random.default_rng(0).random((63, 100, 3)).astype(np.float32)
    *choices, hint = candidates(picture).pictures
    assert all(np.array_equal(choice, picture) for choice in choices)
    np.testing.assert_array_equal(hint, 0.5)


def test_kernels_that_differ_by_a_shift_are_the_same():
    line, moved = np.zeros((2, 11, 11), np.float32)
    line[:9, :9], moved[2:, 1:10] = kernel(), kernel()
    assert similarity(line, moved) == pytest.approx(1, abs=1e-5)
    assert similarity(line, np.flipud(line)) == pytest.approx(1 / 9, abs=1e-5)
