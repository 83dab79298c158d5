"""The classical baseline: its kernel, and that it helps when the motion is known."""

import cv2
import numpy as np
import pytest

from srn_tf.cli import test as command
from srn_tf.evaluation.metrics import psnr
from srn_tf.images.rgb import read_rgb, write_image
from srn_tf.options import CLASSICAL
from srn_tf.restoration.classical import ClassicalDeblurrer, line_kernel


def test_a_line_kernel_has_its_length_and_direction():
    row = line_kernel(5, 0)
    np.testing.assert_allclose(row.sum(), 1)
    np.testing.assert_allclose(row.sum(axis=1), [0, 0, 0, 1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(row[3, 1:6], 0.2, atol=0.03)
    np.testing.assert_allclose(line_kernel(5, 90), row.T, atol=1e-6)
    # Counterclockwise: at 45 degrees the line goes from bottom left to top right.
    diagonal = line_kernel(5, 45)
    assert diagonal[2, 4] > 0.1 > diagonal[2, 2]


@pytest.mark.parametrize("method", CLASSICAL)
def test_a_known_motion_is_reduced_by_the_command(method, photo, tmp_path):
    sharp = photo[:128, 100:260]
    blurred = cv2.filter2D(sharp, -1, line_kernel(7, 30), borderType=cv2.BORDER_REFLECT)
    write_image(tmp_path / "in" / "photo.png", blurred)
    words = [f"--model={method}", "--blur_length=7", "--blur_angle=30"]
    paths = [f"--input_path={tmp_path / 'in'}", f"--output_path={tmp_path / 'out'}"]
    assert command.main([*words, *paths]) == 0
    restored = read_rgb(tmp_path / "out" / "photo.png")
    assert psnr(sharp, restored) > psnr(sharp, blurred) + 1
    wrong = ClassicalDeblurrer(method, line_kernel(7, 120)).deblur(blurred)
    assert psnr(sharp, wrong) < psnr(sharp, blurred)


def test_a_length_that_is_no_blur_is_refused():
    for length in (1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="blur_length must be above 1, up to 1000 pixels"):
            line_kernel(length, 0)
    with pytest.raises(ValueError, match="blur_angle must be a number of degrees, not nan"):
        line_kernel(9, float("nan"))
