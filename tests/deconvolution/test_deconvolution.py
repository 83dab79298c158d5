"""Blind deconvolution: its parts against plain formulas, and the whole on made blur."""

import cv2
import numpy as np
import pytest
from scipy import fft, ndimage

from srn_tf.data.camera_shake import shake
from srn_tf.deconvolution import colour, fourier, grid, kernel
from srn_tf.deconvolution.deconvolve import deconvolve, noise
from srn_tf.deconvolution.restore import Options, restore

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.random(shape, np.float32)


def psnr(a, b):
    return -10 * np.log10(((a - b) ** 2).mean())


@pytest.fixture
def sharp(photo):
    """Luma of a part of a photograph with a face and straight edges."""
    return colour.luma_of(photo[40:296, 100:420].astype(np.float32) / 255)


CURVE = np.zeros((15, 15), np.float32)
cv2.ellipse(CURVE, (7, 12), (6, 9), 0, 190, 330, 1.0)
CURVE /= CURVE.sum()
# A lens out of focus: a disc of radius 3.3, each pixel by its part of it.
DISC = np.float32(np.hypot(*(np.indices((144, 144)) - 71.5)) < 16 * 3.3)
DISC = cv2.resize(DISC, (9, 9), interpolation=cv2.INTER_AREA)
DISC /= DISC.sum()


def blurred(picture, k=CURVE, sigma=0.003):
    """With its borders cut off; and the sharp picture where the kernel's middle of mass has it."""
    full = ndimage.convolve(picture, k if picture.ndim == 2 else k[..., np.newaxis])
    inner = np.s_[len(k) // 2 : -(len(k) // 2), len(k) // 2 : -(len(k) // 2)]
    made = (full + sigma * RNG.standard_normal(full.shape, np.float32)).clip(0, 1)[inner]
    shift = (*kernel.centroid(k), 0)[: picture.ndim]
    moved = ndimage.shift(picture, shift, mode="nearest")
    return np.rint(made * 255).astype(np.float32) / 255, moved[inner]


def test_gradients_and_their_adjoint():
    picture, field = random(6, 9), random(2, 6, 9)
    dx, dy = fourier.gradient(picture)
    np.testing.assert_allclose(dx, np.roll(picture, -1, 1) - picture)
    np.testing.assert_allclose(dy, np.roll(picture, -1, 0) - picture)
    left, right = (fourier.gradient(picture) * field).sum(), 0.0
    right = (picture * fourier.gradient_adjoint(field)).sum()
    np.testing.assert_allclose(left, right, rtol=1e-4)
    twice = fft.irfft2(fourier.laplacian_power((6, 9)) * fft.rfft2(picture), (6, 9))
    again = fourier.gradient_adjoint(fourier.gradient(picture))
    np.testing.assert_allclose(twice, again, atol=1e-5)


def test_a_kernel_in_fourier_space_convolves_and_moves():
    picture, k = random(12, 14), random(5, 3)
    result = fft.irfft2(fourier.transfer(k, (12, 14)) * fft.rfft2(picture), (12, 14))
    np.testing.assert_allclose(result, ndimage.convolve(picture, k, mode="wrap"), rtol=1e-5)
    back = fft.irfft2(fourier.moved((2, -1), (12, 14)) * fft.rfft2(picture), (12, 14))
    np.testing.assert_allclose(back, np.roll(picture, (-2, 1), (0, 1)), atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 8), (9, 4)])
def test_a_periodic_picture_has_no_step_at_its_edges(shape):
    ramp = np.add.outer(np.arange(shape[0]), np.arange(shape[1])).astype(np.float32)
    size = shape[0] + 7, shape[1] + 40  # more than the picture has to mirror
    whole = fourier.periodic(ramp, size)
    np.testing.assert_array_equal(whole[: shape[0], : shape[1]], ramp)
    assert np.abs(fourier.gradient(whole)).max() < 3.5


def test_the_measures_of_a_kernel():
    k = np.zeros((9, 9), np.float32)
    k[2, 1:6] = 0.2
    assert kernel.centroid(k) == pytest.approx((-2, -1))
    assert kernel.extent(k) == 5
    assert kernel.spread(k) == pytest.approx((2**0.5, 0), abs=1e-4)
    half = colour.half_kernel(k)
    assert kernel.centroid(half) == pytest.approx((0, 0), abs=0.05)
    assert kernel.spread(half)[0] == pytest.approx(2**0.5 / 2, rel=0.15)
    assert [kernel.odd(size) for size in (3, 4, 4.2, 80)] == [3, 5, 5, 81]


@pytest.mark.slow
def test_the_kernel_is_found_and_the_picture_restored(sharp):
    picture, truth = blurred(sharp)
    k = kernel.estimate_kernel(picture, 21)
    assert k.sum() == pytest.approx(1) and k.min() >= 0
    match = ndimage.correlate(np.pad(k, 6), np.pad(CURVE, 3), mode="constant").max()
    assert match / np.sqrt((k**2).sum() * (CURVE**2).sum()) > 0.8
    found, _ = deconvolve(picture, k, sigma=noise(picture))
    assert psnr(found, truth) > psnr(picture, truth) + 3


@pytest.mark.slow
def test_one_kernel_is_found_where_the_camera_also_rolls(photo):
    """By a kernel that may be negative while it is being solved for, the picture loses."""
    sharp = photo[:400, :400]
    rng = np.random.default_rng(4)
    made = shake(sharp, rng, 12, target="centroid", light="stored", moving_part=0)
    picture, truth = (colour.luma_of(np.float32(p) / 255) for p in (made, sharp))
    found, _ = deconvolve(picture, kernel.estimate_kernel(picture, 31), sigma=noise(picture))
    assert psnr(found, truth) > psnr(picture, truth) + 1


def test_deconvolution_with_the_true_kernel_up_to_the_border(sharp):
    picture, truth = blurred(sharp)
    # The kernel's origin is its middle of mass, wherever it lies in its array.
    for k in (CURVE, np.pad(CURVE, ((0, 6), (2, 4)))):
        found, residual = deconvolve(picture, k, sigma=noise(picture))
        inner = np.s_[8:-8, 8:-8]
        assert psnr(found[inner], truth[inner]) > psnr(picture[inner], truth[inner]) + 6
        border = np.s_[:8, 8:-8]
        assert psnr(found[border], truth[border]) > psnr(picture[border], truth[border])
        assert np.sqrt((residual**2).mean()) < 0.01


def test_clipped_lights_do_not_ring():
    lights = np.full((96, 96), 0.2, np.float32)
    lights[40:44, 50:54] = 8
    picture, _ = blurred(lights, sigma=0)
    clipped = picture >= kernel.CLIPPED
    assert clipped.any()
    away = np.ones(picture.shape, bool)
    away[28:42, 38:52] = False  # where the light lies, and a pixel around it
    rings = [
        np.abs(deconvolve(picture, CURVE, mask)[0].clip(0, 1) - 0.2)[away].mean()
        for mask in (None, clipped)
    ]
    assert rings[1] < rings[0] / 2


@pytest.mark.parametrize("sigma", [0.004, 0.02])
def test_noise_is_measured(sharp, sigma):
    noisy = cv2.GaussianBlur(sharp, (0, 0), 2) + sigma * RNG.standard_normal(sharp.shape)
    assert noise(noisy) == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("shape", [(33, 700), (481, 321), (1300, 1001)])
def test_windows_cover_a_picture(shape):
    for windows in (grid.grid(shape), grid.tiles(shape, 41)):
        total = np.zeros(shape)
        for window in windows:
            total[window.rows, window.columns] += window.weights
            assert window.rows.start % 2 == window.columns.start % 2 == 0
        np.testing.assert_allclose(total, 1, rtol=1e-6)
    assert max(window.weights.shape[0] for window in windows) <= grid.TILE


def test_tiles_give_what_the_whole_picture_gives(sharp, monkeypatch):
    picture, _ = blurred(sharp)
    parts = grid.Parts(*colour.split(picture[..., np.newaxis]), picture)
    whole, _ = deconvolve(picture, CURVE, sigma=0.003)
    monkeypatch.setattr(grid, "TILE", 160)
    windows = grid.tiles(picture.shape, 15)
    assert len(windows) > 4
    none = np.zeros(picture.shape, bool)
    tiled = grid.deconvolve_windows(parts, windows, [CURVE] * len(windows), none, 0.003, 25)
    assert np.abs(tiled.luma - whole).mean() < 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_at_half_size_and_back(photo, channels):
    smooth = cv2.GaussianBlur(photo[:101, :77], (0, 0), 4).astype(np.float32) / 255
    picture = smooth[..., :channels]
    luma, half = colour.split(picture)
    assert half.shape == (channels - 1, 51, 39)
    np.testing.assert_allclose(colour.join(luma, half), picture, atol=0.01)
    np.testing.assert_allclose(colour.luma_of(colour.join(luma, half)), luma, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_grid", [False, True])
@pytest.mark.slow
def test_a_blurred_picture_is_restored(photo, channels, with_grid):
    picture, truth = blurred(photo[:400, :400, :channels].astype(np.float32) / 255)
    restored, found = restore(picture, Options(size=21, grid=with_grid))
    assert restored.shape == picture.shape and restored.dtype == np.float32
    assert restored.min() >= 0 and restored.max() <= 1
    assert psnr(restored, truth) > psnr(picture, truth) + 2
    assert f"kernel of {kernel.extent(found.kernel)} pixels, trusted on" in found.words
    half, _ = restore(picture, Options(size=21, grid=with_grid, strength=0.5))
    np.testing.assert_allclose(half, (restored + picture) / 2, atol=1e-5)


@pytest.mark.slow
def test_what_is_not_blurred_by_motion_comes_back(photo):
    sharp = photo[:256, :256].astype(np.float32) / 255
    pictures = {
        "sharp": sharp,
        "tiny blur": blurred(sharp, np.float32([[0, 0, 0], [1, 1, 1], [0, 0, 0]]) / 3)[0],
        "out of focus": blurred(sharp, DISC)[0],
        "flat": np.full((64, 64, 3), 0.5, np.float32),
        "white": np.ones((64, 64, 3), np.float32),
        "small": sharp[:20, :90],
    }
    for name, picture in pictures.items():
        restored, found = restore(picture)
        assert found.words.startswith("left as it is: "), name
        np.testing.assert_array_equal(restored, picture)
        assert not found.trust.any() and not found.kernels


@pytest.mark.slow
def test_threads_change_nothing(photo):
    picture, _ = blurred(photo[:400, :400].astype(np.float32) / 255)
    one, found = restore(picture, Options(size=15))
    with fft.set_workers(3):
        three, _ = restore(picture, Options(size=15))
    assert found.trust.any()
    np.testing.assert_array_equal(one, three)
