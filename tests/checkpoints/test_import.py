"""The authors' checkpoints: written from the recipe, loaded as a user would, outputs compared."""

import numpy as np
import pytest
from helpers import write_tf1_checkpoint
from reference import golden, recipe_weights

import srn_tf
from srn_tf.checkpoints import archive, pytorch, tf1
from srn_tf.cli import import_checkpoint, test
from srn_tf.images.rgb import read_rgb, write_image
from srn_tf.restoration.deblurrer import Deblurrer

pytestmark = pytest.mark.long

AUTHORS = ("lstm", "gray", "color", "pss_nsc")


@pytest.fixture
def prefix(tmp_path):
    return tmp_path / "deblur.model-523000"


@pytest.mark.parametrize("name", AUTHORS)
def test_a_checkpoint_gives_the_authors_outputs(prefix, name):
    reference, weights = recipe_weights(name)
    write_tf1_checkpoint(prefix, weights, training_state=True)
    model = srn_tf.load_model(prefix, name=name)
    for scale, output in enumerate(model(reference["x"])):
        expected = reference[f"y{scale}"]
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("ending", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_any_of_its_files_names_a_checkpoint(prefix, ending):
    prefix.with_name(f"{prefix.name}.index").touch()
    assert tf1.find(f"{prefix}{ending}") == prefix
    assert tf1.find(prefix.with_name("other")) is None


def test_training_state_under_any_scope_is_left_out(prefix):
    weights = {"g_net/enc1_1/weights": np.ones((2, 2), np.float32)}
    write_tf1_checkpoint(prefix, weights, training_state=True, scope="train/")
    assert list(tf1.read(prefix)) == ["g_net/enc1_1/weights"]


def test_the_command_restores_with_it_and_with_the_file_it_is_converted_to(prefix, photo, tmp_path):
    _, weights = recipe_weights("color")
    write_tf1_checkpoint(prefix, weights, training_state=False)
    write_image(tmp_path / "in" / "picture.png", photo[:40, :56])
    converted = tmp_path / "color.npz"
    arguments = [f"--checkpoint={prefix}", f"--output={converted}"]
    assert import_checkpoint.main(arguments) == 0
    header, _ = archive.read(converted)
    assert header["model"] == "color"
    assert header["origin"]["file"] == prefix.name
    assert len(header["origin"]["sha256"]) == 64
    results = []
    for checkpoint, extra in ((prefix, ["--model=color"]), (converted, [])):
        out = tmp_path / f"out_{len(results)}"
        words = [f"--input_path={tmp_path / 'in'}", f"--output_path={out}", *extra]
        assert test.main([*words, f"--checkpoint={checkpoint}", "--precision=float32"]) == 0
        results.append(read_rgb(out / "picture.png"))
    model, _ = golden("color")
    np.testing.assert_array_equal(results[0], Deblurrer(model).deblur(photo[:40, :56]))
    np.testing.assert_array_equal(results[0], results[1])
    # The conversion is not done twice by accident.
    assert import_checkpoint.main(arguments) == 1


def test_a_run_becomes_a_small_file_of_half_floats(checkpoint, model, photo, tmp_path):
    small = tmp_path / "small.npz"
    words = [f"--checkpoint={checkpoint}", f"--output={small}", "--storage=float16"]
    assert import_checkpoint.main(words) == 0
    header, arrays = archive.read(small)
    assert header["origin"]["file"] == checkpoint.name
    weights = archive.variables_by_path(model.variables, "model")
    for name, array in arrays.items():
        assert array.dtype == np.float16
        np.testing.assert_allclose(array, weights[name], rtol=2**-11, atol=2**-25)
    again = srn_tf.load_model(small)
    assert again.dtype == "float32"
    restored, expected = (Deblurrer(m).deblur(photo[:32, :48]) for m in (again, model))
    assert np.abs(restored.astype(int) - expected).max() <= 1


def test_a_checkpoint_of_another_model_is_told_which(prefix, capsys, photo, tmp_path):
    write_tf1_checkpoint(prefix, recipe_weights("gray")[1], training_state=False)
    write_image(tmp_path / "in" / "picture.png", photo[:16, :16])
    words = [f"--input_path={tmp_path / 'in'}", f"--output_path={tmp_path / 'out'}"]
    assert test.main([*words, "--model=color", f"--checkpoint={prefix}"]) == 1
    error = capsys.readouterr().err
    assert error == f"srn-test: {prefix}: holds the weights of gray, not of color\n"


def test_what_is_missing_unexpected_or_of_another_shape_is_listed(prefix):
    weights = recipe_weights("color")[1]
    del weights["g_net/dec1_0/biases"]
    weights["g_net/enc9_9/weights"] = np.zeros(3, np.float32)
    weights["g_net/enc1_1/biases"] = np.zeros(31, np.float32)
    write_tf1_checkpoint(prefix, weights, training_state=True)
    with pytest.raises(ValueError) as error:
        srn_tf.load_model(prefix, name="color")
    assert [line.strip() for line in str(error.value).splitlines()] == [
        f"{prefix}: does not fit the network",
        "g_net/enc1_1/biases has shape (31,), not (32,)",
        "missing g_net/dec1_0/biases",
        "unexpected g_net/enc9_9/weights",
    ]
    with pytest.raises(ValueError, match="fits none of lstm, gray, color, pss_nsc"):
        srn_tf.load_model(prefix)


@pytest.mark.parametrize("damage", ["no data", "cut data", "flipped data", "cut index"])
def test_a_damaged_checkpoint_gets_one_line(prefix, damage):
    weights = {f"g_net/{i}/weights": np.ones((100, 100), np.float32) for i in range(9)}
    write_tf1_checkpoint(prefix, weights, training_state=False)
    endings = (".index", ".data-00000-of-00001")
    index, data = (prefix.with_name(prefix.name + ending) for ending in endings)
    content = bytearray(data.read_bytes())
    if damage == "no data":
        data.unlink()
    elif damage == "cut data":
        data.write_bytes(content[: len(content) // 2])
    elif damage == "flipped data":
        content[len(content) // 2] ^= 255
        data.write_bytes(content)
    else:
        index.write_bytes(index.read_bytes()[:200])
    with pytest.raises(ValueError, match="not a whole TensorFlow checkpoint") as error:
        srn_tf.load_model(prefix)
    assert len(str(error.value).splitlines()) == 1


def test_a_model_the_authors_did_not_store_is_refused(prefix):
    write_tf1_checkpoint(prefix, {"weights": np.ones(3, np.float32)}, training_state=False)
    with pytest.raises(ValueError, match="fits lstm, gray, color, pss_nsc, not sr_ed"):
        srn_tf.load_model(prefix, name="sr_ed")


def test_our_own_file_must_be_of_the_named_model(tmp_path):
    model = srn_tf.create_model("sr_edrb1", widths=(4, 6, 8))
    archive.save(tmp_path / "model.npz", "sr_edrb1", model)
    with pytest.raises(ValueError, match="holds a model sr_edrb1, not color"):
        srn_tf.load_model(tmp_path / "model.npz", name="color")


def test_pytorch_kernels_are_transposed():
    kernel = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)  # out, in, height, width
    converted = pytorch.from_torch({"weight": kernel, "bias": np.arange(2)})
    assert converted["weight"].shape == (5, 7, 3, 2)
    assert converted["weight"][4, 6, 2, 1] == kernel[1, 2, 4, 6]
    np.testing.assert_array_equal(converted["bias"], [0, 1])


def test_a_pytorch_file_gives_the_authors_outputs(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    reference, weights = recipe_weights("mscnn")
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    torch.save(state, tmp_path / "mscnn.pt")
    model = srn_tf.load_model(tmp_path / "mscnn.pt")
    expected = reference["y2"]
    bound = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(model(reference["x"])[-1], expected, rtol=0, atol=bound)


def test_a_pytorch_file_cannot_run_code(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"weights": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="not a PyTorch state dict"):
        srn_tf.load_model(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_a_pytorch_file_without_pytorch_is_told(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "mscnn.pt").touch()
    with pytest.raises(ValueError, match="needs the package torch"):
        srn_tf.load_model(tmp_path / "mscnn.pt")
