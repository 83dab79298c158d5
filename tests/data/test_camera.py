"""What a camera does to light, and where the target of a path lies."""

import dataclasses

import numpy as np
import pytest

from srn_tf.data.camera import Camera, light_from, values_from
from srn_tf.data.camera_shake import CameraPath, shake

FLAT = np.full((64, 64, 3), 0.25, np.float32)  # light


def test_the_curve_is_that_of_srgb():
    values = np.array([0, 10, 11, 128, 255]) / 255  # 10 / 255 lies on the straight part
    light = [0, 0.0030353, 0.0033465, 0.2158605, 1]
    np.testing.assert_allclose(light_from(values), light, atol=1e-6)
    np.testing.assert_allclose(values_from(light), values, atol=1e-5)


def test_an_ideal_camera_rounds():
    pixels = Camera().develop(FLAT, np.random.default_rng(0))
    np.testing.assert_array_equal(pixels, 137)  # 255 * (1.055 * 0.25 ** (1 / 2.4) - 0.055)


def test_noise_has_the_variance_of_reading_and_of_light():
    # Of a hundred cameras: read deviation 0 to 0.002, variance for light 1e-5 to 2e-4.
    deviations = []
    for seed in range(100):
        pixels = Camera(noise=1.0).develop(FLAT, np.random.default_rng(seed))
        deviations.append(light_from(pixels / 255).std())
    rounding = (1 / 255 / 12**0.5 * 0.5) ** 2  # a level of 1 / 255 is about 0.5 of that in light
    low = np.sqrt(0.25 * 1e-5 + rounding)
    high = np.sqrt(0.002**2 + 0.25 * 2e-4 + rounding)
    assert low * 0.9 < min(deviations) < 1.6 * low
    assert 0.8 * high < max(deviations) < 1.1 * high


def test_highlights_were_brighter_and_the_rest_was_not():
    photo = np.full((4, 4, 3), 200, np.uint8)
    photo[0] = 255
    gains = [Camera(highlights=0.5).brighten(photo, np.random.default_rng(i)) for i in range(200)]
    some = [gain for gain in gains if gain is not None]
    assert 70 < len(some) < 130
    assert all((gain[1:] == 1).all() and 1.25 <= gain[0, 0, 0] <= 2.75 for gain in some)


def test_optics_soften_some_of_the_pictures_and_sharpen_as_many():
    light = 0.2 + 0.2 * np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)

    def detail(optics, seed):
        pixels = Camera(optics=optics).develop(light, np.random.default_rng(seed))
        return np.std(np.diff(pixels.astype(float), axis=0))

    ratios = np.array([detail(0.25, i) for i in range(200)]) / detail(0.0, 0)
    assert 0.4 < np.mean(ratios == 1) < 0.6
    assert 0.1 < np.mean(ratios < 0.99) < 0.3
    assert 0.15 < np.mean(ratios > 1.01) < 0.35


@pytest.mark.parametrize("change", [{"noise": -1}, {"highlights": 2}, {"optics": 0.6}])
def test_values_beyond_their_rule_are_refused(change):
    (field,) = change
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(Camera(), **change)


def test_the_target_is_at_the_middle_or_at_the_centroid():
    middle, centroid = (
        CameraPath(np.random.default_rng(1), 9.0, (40, 60), target=target)
        for target in ("middle", "centroid")
    )
    np.testing.assert_array_equal(middle.offsets(9)[4], 0)
    np.testing.assert_allclose(centroid.offsets(9).mean(axis=0), 0, atol=1e-12)
    moved = centroid.offsets(9) - middle.offsets(9)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-12)
    assert np.abs(moved[0, :2]).max() > 0.1


def test_a_light_that_was_clipped_leaves_a_bright_streak():
    photo = np.zeros((32, 32, 3), np.uint8)
    photo[16, 16] = 255
    brightest = [
        shake(photo, np.random.default_rng(3), 8.0, camera=camera, light="linear").max()
        for camera in (Camera(), Camera(highlights=1.0))
    ]
    assert brightest[1] > 1.1 * brightest[0]
