"""Shared by the tests: quiet TensorFlow, small networks, and the authors' reference numbers."""

import ast
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import srn_tf
from srn_tf import checkpoints, tf1_import, torch_import

TESTS = pathlib.Path(__file__).resolve().parent
# A network of the same shape that a test can afford.
SMALL = {"kernel_size": 3, "widths": (4, 6, 8), "blocks": 1}


def variables_by_stored_name(model) -> dict:
    """The variables of a model by the names in its authors' files."""
    source = torch_import if model.name == "mscnn" else tf1_import
    return source.variables_by_stored_name(model)


def recipe_weights(name: str) -> tuple[dict, dict]:
    """The reference numbers of a model, and the weights they were computed with.

    tests/golden/ holds inputs, and what the authors' program computed from them with weights that
    a seed and this recipe give: standard normal numbers drawn in the order of the sorted names,
    kernels scaled by 0.7 / sqrt(product of all dimensions but the output's), biases by 0.05. The
    output's dimension counts as the last one in TensorFlow's files, as the first in PyTorch's.
    """
    reference = dict(np.load(TESTS / "golden" / f"{name}.npz"))
    names = [str(stored) for stored in reference["names"]]
    if "shapes" in reference:
        stored_shapes = zip(names, reference["shapes"], strict=True)
        shapes = {stored: ast.literal_eval(shape) for stored, shape in stored_shapes}
    else:
        variables = variables_by_stored_name(srn_tf.create_model(name))
        shapes = {stored: tuple(variable.shape) for stored, variable in variables.items()}
    rng = np.random.RandomState(int(reference["seed"]))
    weights = {}
    for stored in sorted(names):
        shape = shapes[stored]
        values = rng.standard_normal(shape)
        if stored.endswith("weights"):
            values *= 0.7 / np.sqrt(np.prod(shape[:-1]))
        elif stored.endswith("weight"):
            values *= 0.7 / np.sqrt(np.prod(shape[1:]))
        else:
            values *= 0.05
        weights[stored] = values.astype(np.float32)
    return reference, weights


def golden(name: str):
    """A model with the weights of the recipe, and the reference numbers."""
    reference, weights = recipe_weights(name)
    model = srn_tf.create_model(name)
    arrays = torch_import.from_torch(weights) if name == "mscnn" else weights
    checkpoints.assign(variables_by_stored_name(model), arrays, name)
    return model, reference


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
