"""The benchmarks: their clock, their small runs from start to end, and the README's figures."""

import importlib.util
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import SMALL, TESTS, randomize

import srn_tf

BENCHMARKS = TESTS.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import timing  # noqa: E402
from network import macs_a_pixel, size_of  # noqa: E402


def run_benchmark(name: str, *words, blocked=(), **environment) -> str:
    """What benchmarks/<name>.py printed; importing a blocked package is an error there."""
    code = f"import sys, runpy; sys.argv = {[name, *map(str, words)]!r}\n"
    code += "".join(f"sys.modules[{package!r}] = None\n" for package in blocked)
    path = str(BENCHMARKS / f"{name}.py")
    code += f"sys.path.insert(0, {str(BENCHMARKS)!r})\n"
    code += f"runpy.run_path({path!r}, run_name='__main__')"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_alternatives_take_turns_and_first_calls_stand_apart(monkeypatch):
    order = []

    def call(name, seconds):
        first = name not in order
        order.append(name)
        time.sleep(seconds + 0.2 * first)

    monkeypatch.setattr(timing, "TURN", 0.01)
    calls = {"long": lambda: call("long", 0.02), "short": lambda: call("short", 0.004)}
    timings = timing.measure(calls, repeats=2)
    # First calls, calls to warm up, and rounds: one long call, and short ones to fill a turn.
    assert order[:4] == ["long", "short"] * 2
    assert order[4:] == ["long", "short", "short", "short"] * 2
    assert timings["long"].first >= 0.2 > max(timings["long"].steady)
    assert len(timings["long"].steady) == 2
    assert len(timings["short"].steady) == 4  # not the first of a turn
    # No round is begun after the time is over.
    slow = {"a": lambda: time.sleep(0.05)}
    assert len(timing.measure(slow, repeats=100, seconds=0.08)["a"].steady) == 2


def make_memory(megabytes: int):
    return lambda: np.ones(megabytes * 2**20, np.uint8).sum()


def make_failure():
    raise ValueError("no such network")


def test_a_worker_has_a_peak_of_memory_of_its_own_and_tells_its_errors():
    here = np.ones(600 * 2**20, np.uint8)  # must not count there
    worker = timing.Worker(make_memory, 300)
    before = worker.peak_gb
    worker()
    after = worker.peak_gb
    worker.close()
    assert before < 0.4 < here.nbytes / 1e9
    assert after - before == pytest.approx(0.315, abs=0.05)
    with pytest.raises(RuntimeError, match="no such network"):
        timing.Worker(make_failure)


def test_sizes_and_work():
    assert size_of("1280x720") == (1, 720, 1280)
    assert size_of("256x128x8") == (8, 128, 256)
    # 1,174 billion at 1280x720 for color, as in the README's table.
    assert macs_a_pixel("color", {}) * 1280 * 720 == pytest.approx(1174e9, rel=1e-3)


def test_the_forward_benchmark_from_start_to_end(tmp_path):
    output = tmp_path / "network.json"
    words = ("--models", "sr_edrb1", "--sizes", "32x32x2", "--precisions", "float32")
    printed = run_benchmark("network", *words, "--repeats", 2, "--output", output)
    results = json.loads(output.read_text())
    *matmuls, ours = results["rows"]
    assert max(row["of_matmul"] for row in matmuls) == 1
    work = 2 * macs_a_pixel("sr_edrb1", {}) * 2 * 32**2
    assert ours["tflops"] == pytest.approx(work / ours["median"] / 1e12, abs=1e-3)
    assert ours["first"] > ours["median"] and ours["repeats"] == 2
    assert results["command"].startswith("python benchmarks/network.py --models sr_edrb1")
    assert results["machine"]["cores"] == os.cpu_count()
    assert "srn_tf, tensorflow" in printed


def test_the_readme_has_the_figures_of_the_result_files():
    run_benchmark("readme", "--check")


def without(package: str):
    return pytest.mark.skipif(not importlib.util.find_spec(package), reason=f"no {package}")


@pytest.mark.backends
@pytest.mark.parametrize(
    "backend", [pytest.param(name, marks=without(name)) for name in ("jax", "torch")]
)
def test_the_gpu_benchmark_needs_no_tensorflow_and_has_the_authors_numbers(tmp_path, backend):
    output = tmp_path / "gpu.json"
    words = ("--blocks", 1, "--kernel_size", 3, "--latency_size", 64, 32, "--crop_size", 32)
    words += ("--batch_sizes", 1, 2, "--matmul", 64, "--repeats", 2, "--output", output)
    blocked = ("tensorflow", "psutil", "cv2", "skimage", "PIL")
    run_benchmark("gpu", *words, blocked=blocked, KERAS_BACKEND=backend)
    results = json.loads(output.read_text())
    assert results["parity"] < 1e-4
    kinds = [(row["precision"], row["what"], row.get("batch")) for row in results["rows"]]
    expected = [("matmul", None), ("forward", 1), ("forward", 1), ("forward", 2)]
    expected += [("training", 1), ("training", 2)]
    precisions = ("float32", "tf32", "bfloat16")
    assert kinds == [(precision, *row) for precision in precisions for row in expected]


@pytest.mark.backends
def test_a_training_step_on_jax_is_that_of_tensorflow(tmp_path):
    """Three steps of Adam on the same pairs: the outputs are the same afterwards."""
    code = f"""
import sys; sys.path[:0] = [{str(BENCHMARKS)!r}, {str(TESTS)!r}]
import keras, numpy as np, srn_tf
from conftest import SMALL, randomize
model = srn_tf.create_model("color_lstm_residual", **SMALL)
randomize(model)
pairs = np.random.default_rng(1).random((2, 2, 32, 32, 3), dtype=np.float32)
optimizer = keras.optimizers.Adam(1e-2)
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    from srn_tf.training import Trainer
    trainer = Trainer(model, optimizer)
    losses = [float(trainer.step(*map(tf.constant, pairs))["loss"]) for _ in range(3)]
else:
    from backends import training_step
    step = training_step(model, optimizer, *pairs)
    losses = [float(step()) for _ in range(3)]
print(*losses)
"""
    from conftest import run_python

    losses = {
        backend: np.array(run_python(code, KERAS_BACKEND=backend).split(), float)
        for backend in ("tensorflow", "jax")
    }
    assert losses["jax"][2] < 0.99 * losses["jax"][0]
    np.testing.assert_allclose(losses["jax"], losses["tensorflow"], rtol=1e-4)


@without("torch")
@pytest.mark.backends
@pytest.mark.parametrize("name", ["color", "color_lstm_residual"])
def test_the_plain_pytorch_network_is_the_same_network(name):
    import torch
    from torch_network import TorchNetwork

    model = srn_tf.create_model(name, **SMALL)
    randomize(model)
    blurred = np.random.default_rng(0).random((2, 32, 48, 3), dtype=np.float32)
    with torch.no_grad():
        outputs = TorchNetwork(model, torch.float32)(torch.tensor(blurred).permute(0, 3, 1, 2))
    for mine, other in zip(model(blurred), outputs, strict=True):
        np.testing.assert_allclose(other.permute(0, 2, 3, 1), mine, rtol=0, atol=1e-5)
