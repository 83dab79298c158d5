"""Export: plain TensorFlow loads the SavedModel and gets the package's numbers, at any size."""

import numpy as np
import pytest
from conftest import SMALL, randomize, run_python

import srn_tf
from srn_tf import checkpoints
from srn_tf.cli import export as command
from srn_tf.networks import restore

LOAD = """
import sys
import numpy as np, tensorflow as tf
folder, arrays = {folder!r}, dict(np.load({inputs!r}))
loaded = tf.saved_model.load(folder)
signature = loaded.signatures["serving_default"]
spec = signature.structured_input_signature[1]["image"]
print(spec.name, spec.shape, spec.dtype.name, list(signature.structured_outputs))
restored = {{name: signature(image=tf.constant(image)) for name, image in arrays.items()}}
np.savez({outputs!r}, **{{name: output["restored"] for name, output in restored.items()}})
assert "srn_tf" not in sys.modules
"""


@pytest.mark.parametrize(("name", "channels"), [("color_lstm_residual", 3), ("lstm", 1)])
def test_plain_tensorflow_gets_the_packages_numbers_at_two_sizes(tmp_path, name, channels):
    model = srn_tf.create_model(name, **SMALL)
    randomize(model)
    checkpoints.save(tmp_path / "model.npz", name, model)
    folder = tmp_path / "saved_model"
    assert command.main([f"--checkpoint={tmp_path / 'model.npz'}", f"--output_path={folder}"]) == 0
    rng = np.random.default_rng(0)
    inputs = {
        "one": rng.random((1, 33, 50, channels)).astype(np.float32),
        "two": rng.random((2, 16, 20, channels)).astype(np.float32),
    }
    np.savez(tmp_path / "in.npz", **inputs)
    paths = {"inputs": str(tmp_path / "in.npz"), "outputs": str(tmp_path / "out.npz")}
    printed = run_python(LOAD.format(folder=str(folder), **paths))
    assert printed.strip() == f"image (None, None, None, {channels}) float32 ['restored']"
    outputs = np.load(tmp_path / "out.npz")
    for key, image in inputs.items():
        expected = np.array(restore(model, image))
        assert outputs[key].shape == image.shape
        bound = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(outputs[key], expected, rtol=0, atol=bound)


def test_an_existing_folder_is_left_alone(tmp_path, capsys):
    model = srn_tf.create_model("color", **SMALL)
    checkpoints.save(tmp_path / "model.npz", "color", model)
    folder = tmp_path / "there"
    folder.mkdir()
    assert command.main([f"--checkpoint={tmp_path / 'model.npz'}", f"--output_path={folder}"]) == 1
    assert "there: exists already" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
