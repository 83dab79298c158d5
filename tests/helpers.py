"""Shared by the tests: where they are, small networks, programs of their own."""

import os
import pathlib
import subprocess
import sys

import numpy as np

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
