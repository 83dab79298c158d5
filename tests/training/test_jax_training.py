"""srn-train on Keras' JAX backend, in an interpreter without TensorFlow."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import skimage.data
from helpers import LEAST, TESTS, TINY, compiling_once, configuration, eagerly, metrics, randomize

import srn_tf
from srn_tf.checkpoints import archive, places
from srn_tf.cli import train
from srn_tf.data.photographs import SyntheticSource
from srn_tf.images.rgb import read_rgb, write_image
from srn_tf.networks.configs import MODELS
from srn_tf.restoration.deblurrer import Deblurrer
from srn_tf.training.validation import Validation

pytestmark = [pytest.mark.long, pytest.mark.backends]
pytest.importorskip("jax")

STEPS = 4
WEIGHTS = (0.3, 1)
CLIP_ALL = 1e-2
# Small networks under the names of large ones, for which the command has no flags.
NETWORKS = {"color_lstm_residual": LEAST, "ss": TINY}
# Where what is learnt does not matter.
OF_TINY = {"model": "ss", "init_from": "", "scale_weights": ""}
# The processes that make the batches run this, too: they must not import TensorFlow either.
PROGRAM = f"""
import dataclasses, sys
sys.modules["tensorflow"] = None
if __name__ == "__main__":
    from srn_tf.cli.train import main
    from srn_tf.networks.configs import MODELS
    for name, network in {NETWORKS!r}.items():
        MODELS[name] = dataclasses.replace(MODELS[name], **network)
    sys.exit(main())
"""


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """For the runs with TensorFlow, which are in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, network in NETWORKS.items():
            patch.setitem(MODELS, name, dataclasses.replace(MODELS[name], **network))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Has photographs, the program, and weights to start from."""
    folder = tmp_path_factory.mktemp("jax")
    photo = skimage.data.astronaut()
    for i in range(3):
        write_image(folder / "photos" / f"{i}.png", photo[64 * i : 64 * i + 64, :96])
        write_image(folder / "held_out" / f"{i}.png", photo[64 * i : 64 * i + 64, 256:352])
    (folder / "train.py").write_text(PROGRAM)
    model = srn_tf.create_model("color_lstm_residual")
    randomize(model, scale=0.1)
    archive.save(folder / "start.npz", "color_lstm_residual", model)
    return folder


def words(folder, run_dir, **flags) -> list[str]:
    flags = {
        "model": "color_lstm_residual",
        "sharp_path": folder / "photos",
        "crop_size": 16,
        "batch_size": 2,
        "max_steps": STEPS,
        "save_every": 2,
        "lr": 1e-3,
        "end_lr": 5e-4,
        "scale_weights": ",".join(map(str, WEIGHTS)),
        "clip_all": CLIP_ALL,
        "ema": 0.5,
        "init_from": folder / "start.npz",
        "run_dir": run_dir,
        **flags,
    }
    return [f"--{name}={value}" for name, value in flags.items()]


def start(folder, *words) -> subprocess.Popen:
    environment = {**os.environ, **compiling_once(folder), "PYTHONPATH": str(TESTS.parent)}
    command = [sys.executable, folder / "train.py", "--backend=jax", "--processes=1", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipes)


def srn_train(folder, *words) -> tuple[int, str]:
    """Runs the command; gives its exit status and what it printed."""
    process = start(folder, *words)
    printed, _ = process.communicate()
    return process.returncode, printed


@pytest.fixture(scope="module")
def run(folder):
    """A run of four steps, validated in steps 2 and 4."""
    flags = {"val_sharp_path": folder / "held_out", "validate_every": 2}
    status, printed = srn_train(folder, *words(folder, folder / "run", **flags))
    assert status == 0, printed
    return folder / "run"


def numbers(run) -> list[dict]:
    names = ("step", "loss", "loss_per_scale", "gradient_norm", "lr")
    return [{name: row[name] for name in names} for row in metrics(run)]


def test_it_learns_step_by_step_what_tensorflow_learns(folder, run):
    with eagerly():
        assert train.main(words(folder, folder / "tensorflow")) == 0
    ours, theirs = numbers(folder / "tensorflow"), numbers(run)
    assert [row["step"] for row in theirs] == list(range(1, STEPS + 1))
    for row, other in zip(ours, theirs, strict=True):
        assert row["gradient_norm"] > CLIP_ALL
        for name, value in row.items():
            assert other[name] == pytest.approx(value, rel=1e-4), (row["step"], name)
        assert other["loss"] == pytest.approx(np.dot(WEIGHTS, other["loss_per_scale"]), rel=1e-5)
    _, first = archive.read(folder / "start.npz")
    (_, ours), (_, theirs) = (
        archive.read(places.find(folder / name)) for name in ("tensorflow", "run")
    )
    assert ours.keys() == theirs.keys()
    for name in first:
        own = name.replace("model/", "training/")  # beside their averages
        for stored in (name, own):
            moved = np.abs(ours[stored] - first[name]).max()
            assert moved > 1e-5, stored
            np.testing.assert_allclose(theirs[stored], ours[stored], atol=0.02 * moved)
        assert np.abs(ours[own] - ours[name]).max() > 0.1 * moved, name


def test_validation_keeps_the_best_network_here_too(folder, run):
    scored = {row["step"]: row for row in metrics(run) if "validation_psnr" in row}
    assert list(scored) == [2, STEPS]
    best = max(scored, key=lambda step: scored[step]["validation_psnr"])
    header, _ = archive.read(run / "best.npz")
    assert header["step"] == best
    # As TensorFlow scores the same averages.
    source = SyntheticSource(folder / "held_out", 16, max_blur=16.0)
    model = srn_tf.load_model(places.path_of_step(run, STEPS))
    scores, pictures = Validation(source, Deblurrer(model).deblur_batch, seed=0).run()
    assert scores["psnr"] == pytest.approx(scored[STEPS]["validation_psnr"], abs=1e-2)
    shown = read_rgb(run / "validation" / f"step_{STEPS:08d}.png")
    assert np.abs(shown.astype(int) - pictures).max() <= 1


def test_a_run_goes_on_as_if_it_had_not_been_interrupted(folder, run):
    before = numbers(run)
    last = places.path_of_step(run, STEPS)
    _, whole = archive.read(last)
    last.unlink()
    status, printed = srn_train(folder, *words(folder, run), "--resume")
    assert status == 0, printed
    assert "resuming at step 2" in printed
    assert numbers(run) == before
    _, resumed = archive.read(last)
    assert whole.keys() == resumed.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(resumed[name], array, err_msg=name)


def test_tensorflow_goes_on_with_its_run(folder, run):
    shutil.copytree(run, other := folder / "other")
    places.path_of_step(other, STEPS).unlink()
    with eagerly():
        assert train.main([*words(folder, other), "--resume"]) == 0
    rows = list(zip(numbers(run), numbers(other), strict=True))
    assert len(rows) == STEPS
    for before, after in rows:
        for name, value in before.items():
            assert after[name] == pytest.approx(value, rel=1e-4), (before["step"], name)


def test_a_step_that_ruins_the_network_is_not_saved(folder, tmp_path):
    flags = words(folder, tmp_path / "run", lr=1e30, end_lr=1e30, save_every=1, **OF_TINY)
    status, printed = srn_train(folder, *flags)
    assert status == 1
    assert "srn-train: training diverged: the network's output is not finite at step 1" in printed
    assert "no checkpoint was written" in printed
    assert places.in_run(tmp_path / "run") == []


def under_way(folder, run_dir) -> tuple[subprocess.Popen, list[psutil.Process]]:
    """A run that has begun to learn, and the processes it has begun."""
    endless = {"max_steps": 100_000, "save_every": 100_000, "log_every": 1}
    process = start(folder, *words(folder, run_dir, **endless, **OF_TINY), "--processes=2")
    try:
        deadline = time.monotonic() + 300
        while len(metrics(run_dir)) < 20:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    except BaseException:
        process.kill()
        raise
    return process, psutil.Process(process.pid).children(recursive=True)


def test_sigterm_to_all_of_its_processes_saves_and_ends_it(folder, tmp_path):
    process, _ = under_way(folder, tmp_path / "run")
    os.killpg(process.pid, signal.SIGTERM)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, printed
    (saved,) = places.in_run(tmp_path / "run")
    assert archive.read(saved)[0]["step"] == metrics(tmp_path / "run")[-1]["step"]


def test_if_it_is_killed_its_processes_end(folder, tmp_path):
    process, others = under_way(folder, tmp_path / "run")
    assert len(others) >= 2
    process.kill()
    process.communicate(timeout=300)
    _, alive = psutil.wait_procs(others, timeout=120)
    assert alive == []


def test_clipping_the_cells_and_parts_of_a_batch_have_tensorflows_numbers(folder, tmp_path):
    flags = {"clip_norm": 1e-3, "accumulate": 2, "batch_size": 4, "max_steps": 3}
    status, printed = srn_train(folder, *words(folder, tmp_path / "run", **flags), "--profile=2:3")
    assert status == 0, printed
    assert len([*(tmp_path / "run").glob("plugins/profile/*/*.xplane.pb")]) == 1
    with eagerly():
        assert train.main(words(folder, tmp_path / "tensorflow", **flags)) == 0
    for row, other in zip(numbers(tmp_path / "tensorflow"), numbers(tmp_path / "run"), strict=True):
        for name, value in row.items():
            assert other[name] == pytest.approx(value, rel=1e-4), (row["step"], name)
    _, first = archive.read(folder / "start.npz")
    (_, ours), (_, theirs) = (
        archive.read(places.find(tmp_path / name)) for name in ("tensorflow", "run")
    )
    for name in first:
        moved = np.abs(ours[name] - first[name]).max()
        np.testing.assert_allclose(theirs[name], ours[name], atol=0.02 * moved)


def test_float16_is_refused():
    from srn_tf.training.jax_trainer import OneDevice

    with pytest.raises(ValueError, match="precision must be float32 or bfloat16 on JAX, not flo"):
        OneDevice().check(configuration(precision="float16"))


@pytest.mark.parametrize(
    ("word", "environment", "line"),
    [
        ("--xla", {}, "--xla cannot go with --backend jax"),
        ("--flips", {"TF_CONFIG": "{}"}, "TF_CONFIG cannot go with --backend jax"),
        ("--threads=2", {}, "--threads cannot go with --backend jax"),
        ("--gpu=77", {}, "--gpu 77: no such GPU"),
    ],
)
def test_flags_it_cannot_follow_are_refused(
    folder, tmp_path, capsys, monkeypatch, word, environment, line
):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert train.main([*words(folder, tmp_path / "run"), word]) == 1
    assert line in capsys.readouterr().err
