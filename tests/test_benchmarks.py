"""The benchmarks: their clock, small runs from start to end, the figures of the documentation."""

import argparse
import functools
import importlib.util
import json
import operator
import os
import random
import subprocess
import sys

import cv2
import numpy as np
import pytest
from helpers import SMALL, TESTS, randomize, run_python

import srn_tf

BENCHMARKS = TESTS.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import faults  # noqa: E402
import readme  # noqa: E402
from lib import results, timing  # noqa: E402
from lib.compare import left_out  # noqa: E402
from network import size_of  # noqa: E402

from srn_tf.networks.macs import macs_a_pixel  # noqa: E402

pytestmark = pytest.mark.long


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


def test_the_campaign_of_faults_loses_nothing():
    printed = run_benchmark("faults", "--pictures=20", "--kills=0", "--training_kills=0")
    assert printed.splitlines() == ["damaged pictures: tried 20, lost 0, unclear 0"]


@pytest.mark.parametrize(
    ("hidden", "lost"),
    [("'.a'", 0), ("'a'", 2), ("f'.{os.getpid()}'", 2)],
    ids=["a sound program", "one that writes in place", "one that leaves what it was writing"],
)
def test_kills_are_told_from_losses(tmp_path, hidden, lost):
    """A program that takes long to write a file, under a name of its own until it is whole."""
    script = tmp_path / "program.py"
    script.write_text(
        "import os, sys, time\n"
        "os.makedirs(sys.argv[1], exist_ok=True)\n"
        "os.chdir(sys.argv[1])\n"
        "if os.path.exists('a'): sys.exit()\n"
        f"name = {hidden}\n"
        "with open(name, 'w', buffering=1) as file:\n"
        "    file.write('one\\n')\n"
        "    time.sleep(3)\n"
        "    file.write('two\\n')\n"
        "os.replace(name, 'a')\n"
    )

    def outcome(folder) -> dict:
        return {path.name: path.read_text() for path in folder.glob("*")}

    found = faults.kill(2, random.Random(0), lambda results: (script, results), outcome, tmp_path)
    assert (found["tried"], len(found["lost"]), found["unclear"]) == (2, lost, [])


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only in the calls: clock(name, seconds) makes one; clock.calls has all."""
    now = 0.0

    def make(name, seconds, first=0.0):
        def call():
            nonlocal now
            now += seconds + (first if name not in make.calls else 0)
            make.calls.append(name)

        return call

    make.calls = []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    return make


def test_alternatives_take_turns_and_first_calls_stand_apart(clock):
    calls = {"long": clock("long", 1.0, first=2.0), "short": clock("short", 0.2)}
    timings = timing.measure(calls, repeats=2)
    # First calls, calls to warm up, and rounds: one long call, and short ones to fill a turn.
    assert clock.calls[:4] == ["long", "short"] * 2
    assert clock.calls[4:] == ["long", "short", "short", "short"] * 2
    assert timings["long"].first == pytest.approx(3.0)
    assert timings["long"].steady == pytest.approx([1.0] * 2)
    assert timings["short"].steady == pytest.approx([0.2] * 4)  # not the first of a turn


def test_rounds_end_with_the_time_but_there_are_three(clock):
    assert len(timing.measure({"a": clock("a", 1.0)}, 100, seconds=4.5)["a"].steady) == 5
    assert len(timing.measure({"b": clock("b", 20.0)}, 100, seconds=4.5)["b"].steady) == 3
    assert clock.calls.count("b") == 5  # and the first, and one to warm up


def test_what_fails_at_its_first_call_is_left_out_and_told_of(clock):
    def broken():
        raise RuntimeError("no compiler")

    told = []
    calls = {"broken": broken, "a": clock("a", 1.0)}
    timings = timing.measure(calls, 1, left_out=lambda *what: told.append(what))
    assert list(timings) == ["a"]
    assert [(name, str(error)) for name, error in told] == [("broken", "no compiler")]
    with pytest.raises(RuntimeError, match="no compiler"):
        timing.measure(calls, 1)


@pytest.mark.parametrize("why", ["x.Error: no compiler\n\nHint: more\n", "x.Error: no compiler"])
def test_what_is_left_out_is_named_with_the_error_alone(capsys, why):
    left_out(("PyTorch", "bfloat16"), f"Traceback (most recent call last):\n  File x\n{why}")
    assert capsys.readouterr().out == "left out: PyTorch, bfloat16: x.Error: no compiler\n"


def test_results_tell_the_settings_that_matter_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", "/home/me/.terraformrc")
    options = argparse.Namespace(output=tmp_path / "new.json")
    results.write_results("new", options, [], settings={"MALLOC_MMAP_MAX_": "0"})
    settings = json.loads(options.output.read_text())["settings"]
    assert settings["OMP_NUM_THREADS"] == "2"
    assert settings["MALLOC_MMAP_MAX_"] == "0"
    assert "TF_CLI_CONFIG_FILE" not in settings


def test_a_worker_has_a_peak_of_memory_of_its_own_and_tells_its_errors():
    here = b"x" * 600 * 2**20  # must not count there
    worker = timing.Worker(functools.partial, operator.mul, b"x", 300 * 2**20)
    before = worker.peak_gb
    worker()
    after = worker.peak_gb
    worker.close()
    assert before < 0.4 < len(here) / 1e9
    assert after - before == pytest.approx(0.315, abs=0.05)
    with pytest.raises(RuntimeError, match="invalid literal for int"):
        timing.Worker(int, "no number")


def test_sizes_and_work():
    assert size_of("1280x720") == (1, 720, 1280)
    assert size_of("256x128x8") == (8, 128, 256)
    # 1,174 billion at 1280x720 for color, as in the README's table.
    assert macs_a_pixel("color") * 1280 * 720 == pytest.approx(1174e9, rel=1e-3)


def test_the_forward_benchmark_and_its_peers_from_start_to_end(tmp_path):
    output = tmp_path / "network.json"
    words = ("--models", "sr_edrb1", "--sizes", "32x32x2", "--precisions", "bfloat16", "--peers")
    words += ("--repeats", 1, "--matmul", 256)
    printed = run_benchmark("network", *words, "--output", output)
    results = json.loads(output.read_text())
    rows = {row["what"]: row for row in results["rows"]}
    ours, openvino = rows["srn_tf, tensorflow"], rows["OpenVINO"]
    work = 2 * macs_a_pixel("sr_edrb1") * 2 * 32**2
    for row in (ours, openvino):
        assert row["tflops"] == pytest.approx(work / row["median"] / 1e12, rel=0.02, abs=1e-3)
        assert row["first"] > row["median"]
    assert openvino["ratio"] == pytest.approx(openvino["median"] / ours["median"], rel=1e-2)
    matmul = min(row["median"] for what, row in rows.items() if what.startswith("matmul"))
    part = (work / ours["median"]) / (2 * 256**3 / matmul)
    assert ours["of_matmul"] == pytest.approx(part, rel=1e-2, abs=1e-3)
    assert results["command"].startswith("python benchmarks/network.py --models sr_edrb1")
    assert results["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert results["complete"] and results["commit"]
    assert "srn_tf, tensorflow" in printed
    if importlib.util.find_spec("torch"):
        assert "PyTorch, eager" in rows
        # It needs a compiler of C++.
        assert "PyTorch, compiled" in rows or "left out: PyTorch, compiled" in printed


def test_the_training_benchmark_from_start_to_end(tmp_path):
    output = tmp_path / "training.json"
    words = ("--models", "sr_edrb1", "--batch_sizes", 2, "--crop_size", 32, "--matmul", 256)
    run_benchmark("training", *words, "--precisions", "float32", "--repeats", 1, "--output", output)
    ours = json.loads(output.read_text())["rows"][-1]
    work = 3 * 2 * macs_a_pixel("sr_edrb1") * 2 * 32**2
    assert ours["tflops"] == pytest.approx(work / ours["median"] / 1e12, rel=0.02, abs=1e-3)
    assert ours["pairs_per_second"] == pytest.approx(2 / ours["median"], rel=0.02)


def test_the_scaling_benchmark_draws_its_rows(tmp_path):
    words = ("--model", "sr_edrb1", "--precision", "float32", "--megapixels", 0.01, "--repeats", 1)
    words += ("--output", tmp_path / "scaling.json", "--figure", tmp_path / "scaling.png")
    run_benchmark("scaling", *words)
    rows = json.loads((tmp_path / "scaling.json").read_text())["rows"]
    assert [(row["what"], row["width"], row["height"]) for row in rows] == [
        ("in tiles", 128, 80),
        ("whole", 128, 80),
    ]
    assert cv2.imread(str(tmp_path / "scaling.png")).std() > 10


RESULTS = {
    "command": "python benchmarks/folder.py",
    "complete": True,
    "precision": "bfloat16",
    "date": "2026-01-01",
    "machine": {"processor": "a processor", "cores": 2, "extensions": ["amx_bf16"]},
    "versions": {"python": "3.11", "keras": "3.15", "tensorflow": "2.21"},
    "rows": [
        {"what": "a", "median": 1.234, "min": 1, "max": 2, "calls": 3, "pictures_per_second": 0.81}
    ],
}


def test_figures_go_between_their_marks_once_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "RESULTS", tmp_path)
    (tmp_path / "folder.json").write_text(json.dumps(RESULTS))
    empty = "before\n<!-- folder -->\n<!-- /folder -->\nafter\n"
    filled = readme.with_figures(empty)
    assert "| PNGs of 1280x720, bfloat16 | seconds       | pictures/s |" in filled
    assert "| a                          | 1.23 (1 to 2) | 0.81       |" in filled
    source = "2 cores of a processor with AMX, tensorflow 2.21, keras 3.15, 2026-01-01."
    assert f"`python benchmarks/folder.py`, {source}" in filled
    assert filled.startswith("before\n<!-- folder -->\n|") and filled.endswith("-->\nafter\n")
    assert readme.with_figures(filled) == filled
    with pytest.raises(SystemExit, match="0 places marked folder"):
        readme.with_figures("nothing")


def test_figures_of_a_part_of_a_run_are_refused():
    with pytest.raises(SystemExit, match="folder: only a part of what was to be measured"):
        readme.block("folder", RESULTS | {"complete": False})


def test_few_calls_are_told_of_in_place_of_a_spread():
    for calls, spread in ((1, "one call"), (2, "2 calls"), (3, "1 to 2")):
        rows = [RESULTS["rows"][0] | {"calls": calls}]
        assert f"| 1.23 ({spread}) |" in readme.block("folder", RESULTS | {"rows": rows})


def test_a_peer_stands_beside_ours_with_its_ratio():
    row = {"model": "color", "width": 64, "height": 32, "batch": 1, "precision": "bfloat16"}
    row |= {"min": 1, "max": 3, "calls": 3}
    rows = [
        row | {"what": "srn_tf, tensorflow", "median": 2, "of_matmul": 0.5, "ratio": 1.0},
        row | {"what": "OpenVINO", "median": 1.5, "of_matmul": 0.75, "ratio": 0.75},
    ]
    matmul = row | {"what": "matmul, torch", "median": 1, "of_matmul": 1, "tflops": 0.39}
    rows += [matmul, matmul | {"tflops": 0.41}]
    printed = readme.block("network-other", RESULTS | {"rows": rows, "matmul": 4096})
    assert "| color, 64x32, 1" in printed
    assert "| 2 (1 to 3) s, 50%" in printed
    assert "| 1.5 (1 to 3) s, 75%, 0.75 of ours |" in printed
    ceiling = "100% is a matmul of 4096x4096: 0.39 to 0.41 TFLOP/s in bfloat16."
    assert f"|\n\n{ceiling}\n\n`python" in printed


def test_the_documentation_has_the_figures_of_the_result_files():
    assert list(readme.RESULTS.glob("*.json"))
    run_benchmark("readme", "--check")


def without(package: str):
    return pytest.mark.skipif(not importlib.util.find_spec(package), reason=f"no {package}")


@pytest.mark.backends
@pytest.mark.parametrize(
    "backend", [pytest.param(name, marks=without(name)) for name in ("jax", "torch")]
)
def test_the_gpu_benchmark_needs_no_tensorflow_and_has_the_authors_numbers(tmp_path, backend):
    output = tmp_path / "gpu.json"
    words = ("--model", "ss", "--blocks", 1, "--kernel_size", 1)
    words += ("--latency_size", 64, 32, "--crop_size", 32, "--batch_sizes", 2, "--matmul", 64)
    words += ("--precisions", "tf32", "bfloat16", "--repeats", 2, "--cpu", "--output", output)
    blocked = ("tensorflow", "psutil", "cv2", "skimage", "PIL")
    # What the compiler saves in the steps it costs many times over.
    quick = {"KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    run_benchmark("gpu", *words, blocked=blocked, **quick)
    results = json.loads(output.read_text())
    assert 0 < results["parity"] < 1e-4
    assert 0 <= results["parity_of_losses"] < 1e-4
    kinds = [(row["precision"], row["what"], row.get("batch")) for row in results["rows"]]
    expected = [("matmul", None), ("forward", 1), ("forward", 2), ("training", 2)]
    assert kinds == [(precision, *row) for precision in ("tf32", "bfloat16") for row in expected]
    assert results["rows"][-1]["note"] == "best"


@without("torch")
@pytest.mark.backends
def test_a_training_step_on_pytorch_is_that_of_tensorflow():
    """Three steps of Adam on the same pairs: each with the same loss. (JAX: test_jax_training.)"""
    code = f"""
import sys; sys.path[:0] = [{str(BENCHMARKS)!r}, {str(TESTS)!r}]
import keras, numpy as np, srn_tf
from helpers import SMALL, randomize
model = srn_tf.create_model("color_lstm_residual", **SMALL)
randomize(model)
pairs = np.random.default_rng(1).random((2, 2, 32, 32, 3), dtype=np.float32)
optimizer = keras.optimizers.Adam(1e-2)
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    from srn_tf.training.tensorflow_trainer import Trainer
    trainer = Trainer(model, optimizer)
    losses = [float(trainer.step(*map(tf.constant, pairs))["loss"]) for _ in range(3)]
else:
    from lib.backends import training_step
    step = training_step(model, optimizer, *pairs)
    losses = [float(step()) for _ in range(3)]
print(*losses)
"""
    theirs, ours = (
        np.array(run_python(code, KERAS_BACKEND=name).split(), float)
        for name in ("torch", "tensorflow")
    )
    assert ours[2] < 0.99 * ours[0]
    np.testing.assert_allclose(theirs, ours, rtol=1e-4)


@without("torch")
@pytest.mark.backends
def test_steps_of_the_plain_pytorch_network_have_our_losses():
    import keras
    from training import make_step, make_torch_step

    def losses(make, *options):
        keras.utils.set_random_seed(0)
        step = make("color", SMALL, "float32", 2, 32, *options)
        return [step() for _ in range(3)]

    ours = losses(make_step, argparse.Namespace(accumulate=1, xla=False))
    np.testing.assert_allclose(losses(make_torch_step, False), ours, rtol=1e-4)
    assert ours[2] < ours[0]


@without("torch")
@pytest.mark.backends
@pytest.mark.parametrize("name", ["color", "color_lstm_residual"])
def test_the_plain_pytorch_network_is_the_same_network(name):
    import torch
    from lib.torch_network import TorchNetwork

    model = srn_tf.create_model(name, **SMALL)
    randomize(model)
    blurred = np.random.default_rng(0).random((2, 32, 48, 3), dtype=np.float32)
    with torch.no_grad():
        outputs = TorchNetwork(model, torch.float32)(torch.tensor(blurred).permute(0, 3, 1, 2))
    for mine, other in zip(model(blurred), outputs, strict=True):
        np.testing.assert_allclose(other.permute(0, 2, 3, 1), mine, rtol=0, atol=1e-5)
