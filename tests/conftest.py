"""Quiet TensorFlow, and fixtures that all tests share."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from helpers import SMALL, randomize

import srn_tf
from srn_tf.checkpoints import archive


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
    archive.save(tmp_path / "model.npz", "color_lstm_residual", model)
    return tmp_path / "model.npz"
