"""srn-train on Keras' JAX backend, in an interpreter without TensorFlow."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
from conftest import TESTS, run_python
from test_training import configuration

from srn_tf import checkpoints
from srn_tf.images import write_image

pytestmark = pytest.mark.backends
pytest.importorskip("jax")

STEPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    write_image(folder / "photos" / "0.png", skimage.data.astronaut()[64:128, :96])
    return folder


def srn_train(folder, *words) -> subprocess.CompletedProcess:
    """Trains in folder/run; the processes that make the batches have TensorFlow, and must not
    import it either."""
    fixed = ["--model=color_lstm_residual", "--kernel_size=1", "--blocks=1", "--crop_size=16"]
    fixed += ["--batch_size=2", f"--max_steps={STEPS}", "--save_every=2", "--lr=1e-2", "--ema=0.5"]
    fixed += ["--threads=1", f"--sharp_path={folder / 'photos'}", f"--run_dir={folder / 'run'}"]
    code = (
        "import sys\n"
        "if __name__ == '__main__':\n"
        "    sys.modules['tensorflow'] = None\n"
        "    from srn_tf.cli.train import main\n"
        "    sys.exit(main())\n"
    )
    script = folder / "train.py"
    script.write_text(code)
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(TESTS.parent)}
    command = [sys.executable, script, *fixed, *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def run(folder):
    """A run of four steps."""
    result = srn_train(folder)
    assert result.returncode == 0, result.stderr
    return folder / "run"


def metrics(run) -> list[dict]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    names = ("step", "loss", "loss_per_scale", "gradient_norm", "lr")
    return [{name: row[name] for name in names} for row in rows]


def test_each_step_is_written_once_with_the_rate_of_the_schedule(run):
    rows = metrics(run)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    expected = [1e-2 * (1e-6 / 1e-2) ** (step / STEPS) for step in range(STEPS)]
    assert [row["lr"] for row in rows] == pytest.approx(expected, rel=1e-5)
    for row in rows:
        assert row["loss"] == pytest.approx(sum(row["loss_per_scale"]), rel=1e-6)


def test_a_run_goes_on_as_if_it_had_not_been_interrupted(folder, run):
    before = metrics(run)
    last = checkpoints.path_of_step(run, STEPS)
    _, whole = checkpoints.read(last)
    last.unlink()
    result = srn_train(folder, "--resume")
    assert result.returncode == 0, result.stderr
    assert "resuming at step 2" in result.stdout
    assert metrics(run) == before
    _, resumed = checkpoints.read(last)
    assert whole.keys() == resumed.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(resumed[name], array, err_msg=name)


def test_tensorflow_computes_the_same_with_its_checkpoint(run):
    """And both read the averages, which are not the weights that the training goes on with."""
    code = f"""
import keras, numpy as np
from srn_tf import load_model
x = np.random.default_rng(0).random((1, 16, 16, 3), dtype=np.float32)
print(keras.ops.convert_to_numpy(load_model({str(run)!r})(x)[-1]).ravel().tolist())
"""
    theirs, ours = (
        np.array(json.loads(run_python(code, KERAS_BACKEND=backend).splitlines()[-1]))
        for backend in ("jax", "tensorflow")
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    _, arrays = checkpoints.read(checkpoints.find(run))
    bias = "srn/g_net/decoder/dec1_0/bias"
    assert np.abs(arrays[f"model/{bias}"] - arrays[f"training/{bias}"]).max() > 1e-6


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"precision": "float16"}, "precision must be float32 or bfloat16 on the JAX backend"),
        ({"clip_norm": 3.0}, "clip_norm must be 0 on the JAX backend, not 3.0"),
        ({"accumulate": 2}, "accumulate must be 1 on the JAX backend, not 2"),
    ],
)
def test_what_it_cannot_do_is_refused(folder, tmp_path, changes, line):
    from srn_tf.jax_training import train

    config = configuration(sharp_path=str(folder / "photos"), **changes)
    with pytest.raises(ValueError, match=line):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
