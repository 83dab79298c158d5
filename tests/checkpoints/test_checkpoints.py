"""Checkpoints: outputs survive a fresh process, damage is told, nothing is half done."""

import io
import json

import numpy as np
import pytest
from helpers import randomize, run_python

import srn_tf
from srn_tf.atomic import atomic_file, atomic_folder
from srn_tf.checkpoints import archive, places
from srn_tf.checkpoints.load import initialize
from srn_tf.cli.command import require_checkpoint


@pytest.mark.long
def test_a_fresh_process_computes_the_same_from_the_file_alone(checkpoint, model, tmp_path):
    blurred = np.random.default_rng(0).random((1, 16, 32, 3)).astype(np.float32)
    np.save(tmp_path / "blurred.npy", blurred)
    run_python(
        "import numpy as np, srn_tf\n"
        f"model = srn_tf.load_model({str(checkpoint)!r})\n"
        f"output = model(np.load({str(tmp_path / 'blurred.npy')!r}))[-1]\n"
        f"np.save({str(tmp_path / 'restored.npy')!r}, output)"
    )
    np.testing.assert_array_equal(np.load(tmp_path / "restored.npy"), model(blurred)[-1])


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "array", "other zip"])
def test_damaged_and_foreign_files_get_one_line_with_their_name(checkpoint, damage):
    content = bytearray(checkpoint.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 255
    elif damage == "empty":
        content = b""
    elif damage == "text":
        content = b"not a checkpoint"
    else:
        buffer = io.BytesIO()
        (np.save if damage == "array" else np.savez)(buffer, np.zeros(3))
        content = buffer.getvalue()
    checkpoint.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.npz: ") as error:
        srn_tf.load_model(checkpoint)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.slow
def test_no_flipped_byte_goes_unnoticed_or_ends_in_a_traceback(checkpoint):
    """Every 97th byte of a small file: data, names and header; and some of its directory's bytes,
    those of lengths among them."""
    whole = checkpoint.read_bytes()
    _, expected = archive.read(checkpoint)
    directory = whole.index(b"PK\1\2")
    entries = [whole.index(b"PK\1\2", start) for start in range(directory, len(whole) - 1000, 500)]
    of_directory = [entry + i for entry in entries for i in range(20, 46)]
    for place in [*range(0, len(whole), 97), *of_directory]:
        content = bytearray(whole)
        content[place] ^= 255
        checkpoint.write_bytes(content)
        try:
            _, arrays = archive.read(checkpoint)
        except ValueError as error:
            assert str(error).startswith(f"{checkpoint}: ")
            continue
        assert arrays.keys() == expected.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected[name], err_msg=f"byte {place}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 99),
        ("network", {"architecture": "srn", "new_option": 1}),
        ("network", {"architecture": "other"}),
        ("network", {"architecture": "srn", "widths": "abc"}),
        ("network", None),
    ],
)
def test_headers_of_other_versions_get_one_line(tmp_path, key, value):
    header = {"format": 1, "model": "color", "network": {"architecture": "srn"}, key: value}
    np.savez(tmp_path / "model.npz", header=np.array(json.dumps(header)))
    with pytest.raises(ValueError, match=r"model\.npz: not a checkpoint of srn_tf \(") as error:
        srn_tf.load_model(tmp_path / "model.npz")
    assert len(str(error.value).splitlines()) == 1


def test_a_pickle_is_not_opened(tmp_path):
    np.savez(tmp_path / "evil.npz", header=np.array({"format": 1}, dtype=object))
    with pytest.raises(ValueError, match="not a checkpoint of srn_tf"):
        srn_tf.load_model(tmp_path / "evil.npz")


def test_weights_that_do_not_fit_are_listed_and_nothing_is_assigned(checkpoint, model):
    _, arrays = archive.read(checkpoint)
    name = "model/srn/g_net/encoder/enc1_1/kernel"
    arrays["model/extra"] = arrays.pop("model/srn/g_net/decoder/dec1_0/bias")
    arrays[name] = arrays[name][..., :2]
    randomize(model, seed=1)
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(ValueError) as error:
        variables = archive.variables_by_path(model.variables, "model")
        archive.assign(variables, arrays, checkpoint)
    assert [line.strip() for line in str(error.value).splitlines()] == [
        f"{checkpoint}: does not fit the network",
        "missing model/srn/g_net/decoder/dec1_0/bias",
        f"{name} has shape (3, 3, 6, 2), not (3, 3, 6, 4)",
        "unexpected model/extra",
    ]
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.slow
def test_a_choosing_network_begins_as_the_network_without_candidates(tmp_path, whitened):
    small = {"widths": (4, 6), "blocks": (1, 1), "whitened": whitened}
    alone, choosing = (srn_tf.create_model(name, **small) for name in ("fast", "chooser"))
    randomize(alone)
    archive.save(tmp_path / "fast.npz", "fast", alone)
    initialize(choosing, tmp_path / "fast.npz", "chooser")
    picture = np.random.default_rng(0).random((1, 32, 64, 3), np.float32)
    # All candidates are the picture itself, and the hint is seen but counts for nothing yet.
    seen = np.concatenate([picture] * 4 + [1 - picture], axis=-1)
    for ours, expected in zip(choosing(seen), alone(picture), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)
    wider = srn_tf.create_model("chooser", **small | {"widths": (4, 8)})
    with pytest.raises(ValueError, match=r"its widths is \(4, 6\), not \(4, 8\)"):
        initialize(wider, tmp_path / "fast.npz", "chooser")
    archive.save(tmp_path / "chooser.npz", "chooser", choosing)
    with pytest.raises(ValueError, match="holds a model chooser, not fast"):
        initialize(alone, tmp_path / "chooser.npz", "fast")


@pytest.mark.parametrize("name", ["fast_small", "chooser"])
@pytest.mark.slow
def test_a_network_begins_with_weights_alone_of_its_own(name, tmp_path):
    """They do not say what they are of, so the name does."""
    first, second = srn_tf.create_model(name), srn_tf.create_model(name)
    randomize(first)
    first.save_weights(tmp_path / "x.weights.h5")
    require_checkpoint(
        tmp_path / "x.weights.h5", places.name_to_begin_with(tmp_path / "x.weights.h5", name)
    )
    initialize(second, tmp_path / "x.weights.h5", name)
    for ours, expected in zip(second.variables, first.variables, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_weights_that_are_not_finite_are_not_saved(model, tmp_path):
    model.variables[0].assign(np.full(model.variables[0].shape, np.nan))
    with pytest.raises(ValueError, match="enc1_1/kernel is not finite"):
        archive.save(tmp_path / "model.npz", "color_lstm_residual", model)
    assert list(tmp_path.iterdir()) == []


def test_the_newest_checkpoint_is_found_by_number(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for name in ("step_00000900.npz", "step_100000000.npz", "step_00001000.npz", "other.npz"):
        (tmp_path / "checkpoints" / name).touch()
    assert places.find(tmp_path).name == "step_100000000.npz"


def test_a_missing_checkpoint_is_told(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint in this folder"):
        places.find(tmp_path)
    with pytest.raises(ValueError, match="no such checkpoint"):
        places.find(tmp_path / "none.npz")


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "folder" / "file.txt"
    with pytest.raises(RuntimeError), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with atomic_file(target) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
