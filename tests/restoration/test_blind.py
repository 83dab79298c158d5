"""Blind deconvolution as people use it: pictures of any kind, the command, videos, what is said."""

import cv2
import numpy as np
import pytest
from PIL import Image

from srn_tf.cli import test as command
from srn_tf.deconvolution import find
from srn_tf.evaluation.metrics import psnr
from srn_tf.images.rgb import read_rgb, write_image
from srn_tf.restoration.blind import BlindDeblurrer
from srn_tf.restoration.classical import line_kernel, read_kernel


@pytest.fixture
def pair(photo):
    """(blurred, sharp), uint8 [240, 260, 3]: a line of 13 pixels and a little noise."""
    sharp = photo[30:300, 100:390]
    blurred = cv2.filter2D(sharp, -1, line_kernel(13, 25), borderType=cv2.BORDER_REFLECT)
    noise = np.random.default_rng(0).standard_normal(sharp.shape)
    blurred = np.rint(blurred + noise).clip(0, 255).astype(np.uint8)
    return blurred[15:255, 15:275], sharp[15:255, 15:275]


@pytest.fixture(scope="module")
def deblurrer():
    return BlindDeblurrer(size=21, grid=False)


@pytest.mark.slow
def test_pictures_of_any_kind_are_restored_alike(pair, deblurrer):
    blurred, sharp = pair
    restored = deblurrer.deblur(blurred)
    (decision,) = deblurrer.decisions
    assert psnr(sharp, restored) > psnr(sharp, blurred) + 2
    assert decision.words.startswith("kernel of 1") and "trusted on" in decision.words
    assert set(decision.maps) == {"kernel", "trust"}
    alpha = np.arange(240 * 260, dtype=np.uint8).reshape(240, 260, 1)
    both = deblurrer.deblur(np.concatenate([blurred, alpha], axis=-1))
    np.testing.assert_array_equal(both[..., 3:], alpha)
    np.testing.assert_array_equal(both[..., :3], restored)
    fine = deblurrer.deblur(np.uint16(blurred) * 257)
    assert fine.dtype == np.uint16 and np.abs(fine / 257 - restored).max() < 0.51
    pillow = deblurrer.deblur(Image.fromarray(blurred))
    np.testing.assert_array_equal(np.asarray(pillow), restored)
    pictures = deblurrer.deblur_batch([blurred[..., 1], sharp[..., 1]])
    assert pictures.shape == (2, 240, 260) and len(deblurrer.decisions) == 2
    assert psnr(sharp[..., 1], pictures[0]) > psnr(sharp[..., 1], blurred[..., 1]) + 2
    np.testing.assert_array_equal(pictures[1], sharp[..., 1])


@pytest.mark.slow
def test_a_frame_begins_with_the_kernel_of_the_one_before(pair, monkeypatch):
    deblurrer, starts = BlindDeblurrer(size=21, grid=False), []
    original = find.estimate_kernel
    monkeypatch.setattr(
        find, "estimate_kernel", lambda *given: starts.append(1) or original(*given)
    )
    deblurrer.in_order = True
    frames = [deblurrer.deblur(pair[0]) for _ in range(2)]
    assert len(starts) == 1
    assert psnr(pair[1], frames[1]) > psnr(pair[1], frames[0]) - 0.5


@pytest.mark.slow
def test_the_command_says_and_shows_what_it_decided(pair, tmp_path, capsys):
    for name, picture in zip(("blurred", "sharp"), pair, strict=True):
        write_image(tmp_path / "in" / f"{name}.png", picture)
    words = ["-i", tmp_path / "in", "-o", tmp_path / "out", "--model=blind", "--blur_size=21"]
    assert command.main([*map(str, words), "--report", "--strength=0.5"]) == 0
    said = capsys.readouterr().out
    assert "blurred.png: kernel of 1" in said and "sharp.png: left as it is" in said
    assert "kernel of 1" in (tmp_path / "out" / "report.html").read_text()
    np.testing.assert_array_equal(read_rgb(tmp_path / "out" / "sharp.png"), pair[1])
    restored = read_rgb(tmp_path / "out" / "blurred.png")
    assert psnr(pair[1], restored) > psnr(*pair) + 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--model=blind", "--blur_size=2"], "blur_size must be 3 to 80 pixels, not 2"),
        (["--model=blind", "--strength=1.5"], "strength must be 0 to 1, not 1.5"),
        (["--model=blind", "--tile=256"], "--tile has no part beside --model blind"),
        (
            ["--model=wiener", "--kernel=k.png", "--blur_size=9"],
            "--blur_size has no part beside --model wiener",
        ),
        (["--strength=0.5"], "--strength has no part beside a network"),
        (["--model=auto", "--checkpoint=x.npz"], "--checkpoint has no part beside --model auto"),
        (["--model=fast_small"], "no weights of fast_small come with srn_tf"),
        (["--model=wiener", "--kernel=none.png"], "none.png: no such file"),
    ],
)
def test_contradictions_are_refused(pair, tmp_path, capsys, words, line):
    write_image(tmp_path / "in" / "0.png", pair[0])
    assert command.main(["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words]) != 0
    assert line in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_kernel_is_read_from_a_picture_or_an_array(tmp_path):
    kernel = np.zeros((4, 7))
    kernel[1, 2:6] = [1, 2, 4, 1]
    np.save(tmp_path / "kernel.npy", kernel)
    found = read_kernel(tmp_path / "kernel.npy")
    assert found.shape == (7, 7)
    np.testing.assert_allclose(found[2, 2:6], np.array([1, 2, 4, 1]) / 8)
    gray = np.repeat(np.uint8(kernel * 60)[..., np.newaxis], 3, axis=-1)
    write_image(tmp_path / "kernel.png", gray)
    np.testing.assert_allclose(read_kernel(tmp_path / "kernel.png"), found, atol=1e-6)


@pytest.mark.parametrize(
    "kernel", [np.zeros((3, 3)), -np.eye(3), np.ones(3), np.full((3, 3), np.nan)]
)
def test_what_is_no_kernel_is_refused(tmp_path, kernel):
    np.save(tmp_path / "kernel.npy", kernel)
    with pytest.raises(ValueError, match=r"kernel\.npy: a kernel is"):
        read_kernel(tmp_path / "kernel.npy")
