"""The weights that come with the package: they deblur, and hold the bars of inference."""

import numpy as np
import pytest
from helpers import TESTS

from srn_tf.checkpoints import places
from srn_tf.cli import data, test, train
from srn_tf.data.camera_shake import shake
from srn_tf.evaluation.metrics import psnr
from srn_tf.images.files import find_images
from srn_tf.images.rgb import read_rgb
from srn_tf.restoration.deblurrer import Deblurrer

pytestmark = pytest.mark.long

PICTURES = TESTS.parent / "demo" / "pictures"


@pytest.fixture(scope="module")
def deblurrer():
    return Deblurrer(precision="float32")


@pytest.fixture(scope="module")
def blurred(photograph):
    return shake(photograph, np.random.default_rng(0), 6.0)


@pytest.fixture(scope="module")
def photograph():
    """Not one that they were trained on; uint8 [256, 320, 3]."""
    return read_rgb(PICTURES / "sharp" / "chelsea.jpg")[20:276, 60:380]


def test_they_are_small_and_half_floats():
    paths = sorted(places.FOLDER.glob("*.npz"))
    assert places.shipped() in paths and sum(path.stat().st_size for path in paths) < 40e6
    for path in paths:
        with np.load(path) as archive:
            dtypes = {archive[name].dtype for name in archive.files if name.startswith("model/")}
        assert dtypes == {np.dtype("float16")}


def test_the_recipes_are_configurations_of_the_commands():
    folder = places.FOLDER
    values = train.define_flags()
    values(["srn-train", f"--flagfile={folder / 'recipe.flags'}", "--packed=p", "--model=fast"])
    assert train.training_config(values).decay == "cosine"
    values = data.define_blur_flags()
    values(["srn-data blur", f"--flagfile={folder / 'blur.flags'}"])
    assert values.target == "centroid"


@pytest.mark.parametrize("name", [places.BEST, places.ALONE])
def test_the_best_leave_sharp_pictures_alone_and_help_blurred_ones(name, photograph):
    deblurrer = Deblurrer(places.shipped(name), "float32")
    assert psnr(photograph, deblurrer.deblur(photograph)) > 38
    # They put pictures at the middle of mass of the path.
    shaken = [
        shake(photograph, np.random.default_rng(seed), 10.0, target="centroid") for seed in (1, 4)
    ]
    gains = [psnr(photograph, deblurrer.deblur(b)) - psnr(photograph, b) for b in shaken]
    assert np.mean(gains) > 0.5


def test_without_a_checkpoint_the_command_deblurs_with_them(tmp_path):
    words = [f"--input_path={PICTURES / 'blurred'}", f"--output_path={tmp_path}"]
    assert test.main(words) == 0
    gains = {}
    for path in find_images(PICTURES / "blurred"):
        sharp = read_rgb(PICTURES / "sharp" / path.name)
        restored = read_rgb(tmp_path / path.name)
        gains[path.stem] = psnr(sharp, restored) - psnr(sharp, read_rgb(path))
    assert len(gains) == 4
    assert min(gains.values()) > 0.7 and sum(gains.values()) > 5.5, gains


def test_sharp_pictures_stay_as_they_are(deblurrer, photograph):
    assert psnr(photograph, deblurrer.deblur(photograph)) > 38


def test_bfloat16_restores_the_same(deblurrer, blurred, photograph):
    full, half = (d.deblur(blurred) for d in (deblurrer, Deblurrer(precision="bfloat16")))
    assert psnr(full, half) > 48
    assert psnr(photograph, half) == pytest.approx(psnr(photograph, full), abs=0.01)


def test_tiles_restore_the_same(deblurrer, blurred):
    whole = deblurrer.deblur(blurred.astype(np.float32) / 255)
    tiled = Deblurrer(deblurrer.model, tile=256).deblur(blurred.astype(np.float32) / 255)
    assert np.quantile(np.abs(255 * (tiled - whole)), 0.999) < 1
    larger = read_rgb(PICTURES / "blurred" / "rocket.jpg").astype(np.float32) / 255
    whole = deblurrer.deblur(larger)
    tiled = Deblurrer(deblurrer.model, tile=512).deblur(larger)
    assert np.abs(255 * (tiled - whole)).max() < 1
