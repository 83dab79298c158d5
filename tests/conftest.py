"""Shared by the tests: quiet TensorFlow, small networks, and the authors' reference numbers."""

import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import srn_tf
from srn_tf.tf1_import import variables_by_stored_name

TESTS = pathlib.Path(__file__).resolve().parent
# A network of the same shape that a test can afford.
SMALL = {"kernel_size": 3, "widths": (4, 6, 8), "blocks": 1}


def golden(name: str):
    """A model with the weights of the reference recipe, and the reference numbers.

    tests/golden/ holds inputs, and what the authors' program computed from them with weights that
    a seed and this recipe give: standard normal numbers drawn in the order of the sorted names,
    kernels scaled by 0.7 / sqrt(product of all dimensions but the last), biases by 0.05.
    """
    arrays = np.load(TESTS / "golden" / f"srn_{name}.npz")
    model = srn_tf.create_model(name)
    variables = variables_by_stored_name(model)
    assert sorted(variables) == sorted(arrays["names"])
    rng = np.random.RandomState(int(arrays["seed"]))
    for stored in sorted(variables):
        shape = variables[stored].shape
        values = rng.standard_normal(shape)
        is_kernel = stored.endswith("weights")
        values *= 0.7 / np.sqrt(np.prod(shape[:-1])) if is_kernel else 0.05
        variables[stored].assign(values.astype(np.float32))
    return model, arrays


def randomize(model, seed: int = 0, scale: float = 0.1) -> None:
    """Gives every variable random values: fresh biases and residual outputs are zero."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        variable.assign(rng.normal(0, scale, variable.shape))


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
