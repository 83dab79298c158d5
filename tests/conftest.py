"""Shared by the tests: quiet TensorFlow, small networks, programs of their own."""

import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import srn_tf
from srn_tf import checkpoints

TESTS = pathlib.Path(__file__).resolve().parent
# A network of the same shape that a test can afford.
SMALL = {"kernel_size": 3, "widths": (4, 6, 8), "blocks": 1}


def randomize(model, seed: int = 0, scale: float = 0.1) -> None:
    """Gives every variable random values: fresh biases and residual outputs are zero.

    Networks whose output is the picture itself make it gray on average, not black.
    """
    rng = np.random.default_rng(seed)
    residual = model.name != "srn" or model.config.residual
    for variable in model.variables:
        gray = 0.5 if variable.path.endswith("dec1_0/bias") and not residual else 0.0
        variable.assign(rng.normal(gray, scale, variable.shape))


def run_python(code: str, **environment) -> str:
    """Runs code in a fresh interpreter and gives what it printed."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def photo():
    """A photograph, uint8 [512, 512, 3]."""
    import skimage.data

    return skimage.data.astronaut()


@pytest.fixture
def model():
    """A small network with random weights."""
    model = srn_tf.create_model("color_lstm_residual", **SMALL)
    randomize(model)
    return model


@pytest.fixture
def checkpoint(tmp_path, model):
    """Its checkpoint, in tmp_path/model.npz."""
    checkpoints.save(tmp_path / "model.npz", "color_lstm_residual", model)
    return tmp_path / "model.npz"
