"""Deblurring pictures and scoring them, through the command as a user types it."""

import csv
import subprocess
import sys

import cv2
import numpy as np
import pytest
import skimage.metrics
from conftest import SMALL, TESTS, randomize
from scipy.ndimage import correlate1d

import srn_tf
from srn_tf.cli import test as command
from srn_tf.images import read_image, write_image
from srn_tf.inference import Deblurrer
from srn_tf.metrics import psnr, ssim, ssim_matlab3d


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (37, 50)])
def test_any_size_is_padded_by_its_edge_cropped_and_rounded(model, photo, height, width):
    blurred = photo[:height, :width]
    extra = [(0, -height % 16), (0, -width % 16), (0, 0)]
    padded = np.pad(blurred, extra, mode="edge")[np.newaxis].astype(np.float32) / 255
    exact = np.array(model(padded)[-1])[0, :height, :width]
    expected = np.rint(np.clip(exact, 0, 1) * 255)
    assert exact.std() > 0
    restored = Deblurrer(model).deblur(blurred)
    assert restored.dtype == np.uint8
    assert restored.shape == blurred.shape
    # Where the exact value lies between two levels, float32 may round it either way.
    assert np.abs(restored - expected).max() <= 1
    assert (restored != expected).mean() < 1e-2


def test_a_one_channel_model_restores_each_channel_alone(photo):
    model = srn_tf.create_model("lstm", **SMALL)
    randomize(model)
    image = photo[:32, :48]
    restored = Deblurrer(model).deblur(image)
    for channel in range(3):
        alone = np.array(model(image[np.newaxis, ..., channel, np.newaxis] / np.float32(255))[-1])
        expected = np.clip(alone[0, ..., 0], 0, 1) * 255
        np.testing.assert_allclose(restored[..., channel], expected, atol=0.51)


def test_one_trace_serves_all_sizes(model, photo):
    deblurrer = Deblurrer(model)
    for size in (16, 33, 50):
        deblurrer.deblur(photo[:size, :size])
    assert deblurrer._restore.experimental_get_tracing_count() == 1


def test_the_command_restores_a_folder_and_scores_it(tmp_path, checkpoint, model, photo, capsys):
    sharp = {"a.png": photo[:40, :60], "b.bmp": photo[100:133, 50:98]}
    for name, picture in sharp.items():
        write_image(tmp_path / "sharp" / name, picture)
        write_image(tmp_path / "blurred" / name, picture // 2)
    (tmp_path / "blurred" / "notes.txt").write_text("no picture")
    status = command.main(
        [
            f"--input_path={tmp_path / 'blurred'}",
            f"--output_path={tmp_path / 'out'}",
            f"--sharp_path={tmp_path / 'sharp'}",
            f"--checkpoint={checkpoint}",
        ]
    )
    assert status == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.png", "b.bmp", "scores.csv"]
    with open(tmp_path / "out" / "scores.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a.png", "b.bmp", "mean"]
    expected = {}
    for row in rows[:2]:
        restored = Deblurrer(model).deblur(sharp[row["name"]] // 2)
        np.testing.assert_array_equal(read_image(tmp_path / "out" / row["name"]), restored)
        expected[row["name"]] = psnr(sharp[row["name"]], restored)
        assert float(row["psnr"]) == pytest.approx(expected[row["name"]], abs=1e-4)
    assert float(rows[2]["psnr"]) == pytest.approx(np.mean(list(expected.values())), abs=1e-4)
    assert "pictures deblurred: 2" in capsys.readouterr().out


def test_a_broken_file_is_named_and_the_others_go_on(tmp_path, checkpoint, photo):
    write_image(tmp_path / "in" / "good.png", photo[:20, :20])
    whole = (tmp_path / "in" / "good.png").read_bytes()
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "in" / "empty.jpg").touch()
    (tmp_path / "in" / "cut.png").write_bytes(whole[: len(whole) // 2])
    # A process of its own: what libraries print while they start and read must not show either.
    result = subprocess.run(
        [
            *(sys.executable, "test.py"),
            f"--input_path={tmp_path / 'in'}",
            f"--output_path={tmp_path / 'out'}",
            f"--checkpoint={checkpoint}",
        ],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png"]
    assert result.stdout == f"pictures deblurred: 1, in {tmp_path / 'out'}\n"
    errors = result.stderr.splitlines()
    assert len(errors) == 3
    for name, line in zip(("broken.png", "cut.png", "empty.jpg"), errors, strict=True):
        assert line.startswith(f"srn-test: {tmp_path / 'in' / name}: ")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "--input_path is needed"),
        ({"input_path": "{}", "output_path": "{}/out"}, "--checkpoint is needed"),
        (
            {"input_path": "{}", "output_path": "{}/out", "checkpoint": "{}/none"},
            "none: no such checkpoint",
        ),
        (
            {"input_path": "{}/no", "output_path": "{}/out", "checkpoint": "{}/model.npz"},
            "no: no such file or folder",
        ),
        (
            {"input_path": "{}/a.png", "output_path": "{}", "checkpoint": "{}/model.npz"},
            "is the folder of the input",
        ),
        (
            {
                "input_path": "{}/a.png",
                "output_path": "{}/s",
                "sharp_path": "{}/s",
                "checkpoint": "{}/model.npz",
            },
            "the sharp pictures there would be overwritten",
        ),
        (
            {
                "input_path": "{}/a.png",
                "output_path": "{}/out",
                "sharp_path": "{}/none",
                "checkpoint": "{}/model.npz",
            },
            "none: no such folder of sharp pictures",
        ),
        (
            {"input_path": "{}/a.png", "output_path": "{}/a.png", "checkpoint": "{}/model.npz"},
            "a.png: cannot be made a folder",
        ),
    ],
)
def test_mistakes_get_one_clear_line(tmp_path, checkpoint, photo, capsys, flags, message):
    write_image(tmp_path / "a.png", photo[:16, :16])
    (tmp_path / "s").mkdir()
    words = [f"--{name}={value.format(tmp_path)}" for name, value in flags.items()]
    assert command.main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("srn-test: ")
    assert message in line


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_8_bit_colour_picture_are_refused(model, image):
    with pytest.raises(ValueError, match=r"must be uint8 \[height, width, 3\], not"):
        Deblurrer(model).deblur(image)


def test_pictures_too_small_for_ssim_and_too_long_for_their_format_are_named(
    tmp_path, checkpoint, photo, capsys
):
    write_image(tmp_path / "in" / "small.png", photo[:8, :20])
    write_image(tmp_path / "in" / "whole.png", photo[:20, :20])
    cv2.imwrite(str(tmp_path / "long.png"), np.zeros((1, 17000, 3), np.uint8))
    (tmp_path / "long.png").rename(tmp_path / "in" / "long.webp")  # WebP ends at 16383 pixels
    words = [f"--input_path={tmp_path / 'in'}", f"--sharp_path={tmp_path / 'in'}"]
    paths = [f"--output_path={tmp_path / 'out'}", f"--checkpoint={checkpoint}"]
    assert command.main([*words, *paths]) == 1
    long, small = capsys.readouterr().err.splitlines()
    assert "long.webp: a picture of 17000x1 cannot be written in this format" in long
    assert "small.png: SSIM needs 11 pixels a side, not 20x8" in small
    with open(tmp_path / "out" / "scores.csv") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["whole.png", "mean"]


def test_psnr_of_a_known_error():
    sharp = np.full((16, 16, 3), 100, np.uint8)
    assert psnr(sharp, sharp + np.uint8(5)) == pytest.approx(20 * np.log10(255 / 5))
    assert psnr(sharp, sharp) == float("inf")


def noisy(photo):
    sharp = photo[200:260, 200:280]
    noise = np.random.default_rng(0).normal(0, 20, sharp.shape)
    return sharp, np.clip(sharp + noise, 0, 255).astype(np.uint8)


def test_ssim_is_the_mean_over_the_channels(photo):
    sharp, other = noisy(photo)
    options = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 255}
    channels = [
        skimage.metrics.structural_similarity(sharp[..., c], other[..., c], **options)
        for c in range(3)
    ]
    assert ssim(sharp, other) == pytest.approx(np.mean(channels))


def test_ssim_matlab3d_follows_its_definition(photo):
    """An independent computation: an explicit 11x11x11 window on edge-padded volumes."""
    sharp, other = noisy(photo)
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def smooth(volume):
        padded = np.pad(volume, 5, mode="edge")
        for axis in range(3):
            padded = correlate1d(padded, window, axis=axis)
        return padded[5:-5, 5:-5, 5:-5]

    x, y = sharp.astype(float), other.astype(float)
    mx, my = smooth(x), smooth(y)
    sx, sy, sxy = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    c1, c2 = 6.5025, 58.5225
    values = (2 * mx * my + c1) * (2 * sxy + c2) / ((mx**2 + my**2 + c1) * (sx + sy + c2))
    assert ssim_matlab3d(sharp, other) == pytest.approx(values.mean(), abs=1e-9)
    assert ssim_matlab3d(sharp, other) > ssim(sharp, other)
