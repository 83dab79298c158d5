"""Keras' files as checkpoints, presets and hub folders: found, checked, and refused in one line."""

import functools
import hashlib
import http.server
import json
import shutil
import threading
import zipfile

import keras
import numpy as np
import pytest
from helpers import SMALL, randomize

import srn_tf
from srn_tf.checkpoints import archive, hub, keras_files, places, presets
from srn_tf.cli import export, import_checkpoint, test, train
from srn_tf.images.rgb import write_image

NAME = "color_lstm_residual"


@pytest.fixture(scope="module")
def model():
    model = srn_tf.create_model(NAME, **SMALL)
    randomize(model)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    """A network as .keras, as weights alone (with a whole named model beside), and a picture."""
    folder = tmp_path_factory.mktemp("keras_files")
    model.save(folder / "model.keras")
    model.save_weights(folder / "small.weights.h5")
    write_image(
        folder / "pictures" / "a.png",
        np.random.default_rng(0).integers(0, 255, (20, 33, 3), np.uint8),
    )
    return folder


def assert_same(one, other):
    assert one.config == other.config
    for ours, theirs in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), err_msg=ours.path)


@pytest.mark.slow
def test_weights_alone_need_their_model(tmp_path, folder):
    whole = srn_tf.create_model("fast_small")
    whole.save_weights(tmp_path / "whole.weights.h5")
    assert_same(srn_tf.load_model(tmp_path / "whole.weights.h5", name="fast_small"), whole)
    with pytest.raises(srn_tf.UserError, match="holds weights alone; say of which model"):
        srn_tf.load_model(tmp_path / "whole.weights.h5")
    with pytest.raises(
        srn_tf.UserError, match=r"fast has 7,286,960 parameters|fast has .* or more"
    ):
        srn_tf.load_model(tmp_path / "whole.weights.h5", name="fast")


@pytest.mark.slow
def test_every_checkpoint_flag_takes_them(tmp_path, folder, model):
    file = f"{folder / 'model.keras'}"
    words = [f"--checkpoint={file}", "--precision=float32"]
    shutil.copytree(folder / "pictures", tmp_path / "pictures")
    restored = tmp_path / "restored"
    assert test.main([str(tmp_path / "pictures"), f"--output_path={restored}", *words]) == 0
    assert import_checkpoint.main([words[0], f"--output={tmp_path / 'model.npz'}"]) == 0
    assert_same(srn_tf.load_model(tmp_path / "model.npz"), model)
    hub_folder = tmp_path / "hub"
    flags = [words[0], "--format=hub", f"--output_path={hub_folder}"]
    assert export.main(flags) == 0
    assert export.main(flags) == 1  # it is there
    assert export.main([*flags, "--overwrite"]) == 0
    assert_same(srn_tf.load_model(hub_folder), model)
    again = tmp_path / "again"
    flags = [f"--checkpoint={hub_folder}", "--precision=float32", f"--output_path={again}"]
    assert test.main([str(tmp_path / "pictures"), *flags]) == 0
    assert (again / "a.png").read_bytes() == (restored / "a.png").read_bytes()


def test_a_run_starts_from_them(tmp_path, folder, capsys):
    words = [f"--run_dir={tmp_path / 'run'}", f"--sharp_path={folder / 'pictures'}"]
    words += [f"--init_from={folder / 'model.keras'}", "--crop_size=16", "--batch_size=1"]
    assert train.main([*words, "--model=color", "--max_steps=1"]) == 1
    assert "model.keras: holds a model color_lstm_residual, not color" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def forged(tmp_path, folder, change):
    """The .keras file with its configuration changed."""
    with zipfile.ZipFile(folder / "model.keras") as old:
        files = {name: old.read(name) for name in old.namelist()}
    config = json.loads(files["config.json"])
    change(config)
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "forged.keras", "w") as new:
        for name, content in files.items():
            new.writestr(name, content)
    return tmp_path / "forged.keras"


def test_what_is_not_ours_or_damaged_gets_one_line(tmp_path, folder):
    keras.Sequential(
        [keras.Input((4,)), keras.layers.Lambda(lambda x: x / 0), keras.layers.Dense(1)]
    ).save(tmp_path / "other.keras")
    whole = (folder / "model.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.keras").write_text("no network")
    (tmp_path / "text.weights.h5").write_text("no weights")

    def widen(config):
        config["config"]["config"]["widths"] = [4000, 4000, 4000]

    def rename(config):
        config["registered_name"] = "os>system"

    cases = {
        tmp_path / "other.keras": "not a network of srn_tf",
        tmp_path / "half.keras": "not a network of srn_tf",
        tmp_path / "text.keras": "not a network of srn_tf",
        tmp_path / "text.weights.h5": "the file is damaged",
        forged(tmp_path, folder, rename): "it holds os>system",
    }
    for path, words in cases.items():
        name = "color" if path.suffix == ".h5" else None
        with pytest.raises(srn_tf.UserError, match=words) as error:
            srn_tf.load_model(path, name=name)
        assert len(str(error.value).splitlines()) == 1 and str(error.value).startswith(str(path))
    with pytest.raises(srn_tf.UserError, match="parameters or more"):
        srn_tf.load_model(forged(tmp_path, folder, widen))
    with pytest.raises(srn_tf.UserError, match="holds a model color_lstm_residual, not pss_nsc"):
        keras_files.configuration(folder / "model.keras", "pss_nsc")
    # A recurrent network has weights that one without has no place for.
    with pytest.raises(srn_tf.UserError, match="parameters, the file"):
        path = forged(tmp_path, folder, lambda c: c["config"]["config"].update(recurrence="none"))
        srn_tf.load_model(path)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    model = srn_tf.create_model("ss", **SMALL)
    model.variables[0].assign(np.full(model.variables[0].shape, np.nan))
    model.save(tmp_path / "nan.keras")
    with pytest.raises(srn_tf.UserError, match="kernel holds numbers that are not finite"):
        srn_tf.load_model(tmp_path / "nan.keras")


def test_the_registry_knows_the_weights_of_the_package():
    shipped = {path.name for path in places.FOLDER.glob("*.npz")}
    assert shipped == {entry["file"] for entry in presets.registry().values()} & shipped
    for name, entry in presets.registry().items():
        path = places.FOLDER / entry["file"]
        assert path.is_file() or entry["url"].startswith("https://")
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"], name
            assert presets.locate(name) == path


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of the files in tmp_path/web, and an empty cache."""
    web = tmp_path / "web"
    web.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(web))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *words: None)
    server = http.server.ThreadingHTTPServer(("localhost", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SRN_TF_CACHE", str(tmp_path / "cache"))
    yield web, f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_weights_that_are_not_shipped_are_fetched_once_and_checked(tmp_path, server, monkeypatch):
    web, url = server
    content = (places.FOLDER / "chooser.npz").read_bytes()
    (web / "remote.npz").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    entry = {"file": "remote.npz", "sha256": digest, "url": f"{url}/remote.npz"}
    monkeypatch.setattr(presets, "registry", lambda: {"remote": entry})
    path = presets.locate("remote")
    assert path == tmp_path / "cache" / "remote.npz" and path.read_bytes() == content
    (web / "remote.npz").unlink()
    assert presets.locate("remote") == path  # no second time
    path.write_bytes(b"damaged")
    (web / "remote.npz").write_bytes(content)
    assert presets.locate("remote").read_bytes() == content
    path.unlink()
    (web / "remote.npz").write_bytes(b"other")
    with pytest.raises(srn_tf.UserError, match="is not the file it should be") as error:
        presets.locate("remote")
    (web / "remote.npz").unlink()
    with pytest.raises(srn_tf.UserError, match=r"remote: http.*cannot be fetched") as error:
        presets.locate("remote")
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(srn_tf.UserError, match="no such preset, file or folder; there are remote"):
        srn_tf.Deblurrer.from_preset("slow")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.long
def test_a_preset_is_saved_put_on_a_hub_and_used_from_there(tmp_path, server, model, monkeypatch):
    web, url = server
    archive.save(tmp_path / "model.npz", NAME, model, {"step": 3})
    deblurrer = srn_tf.Deblurrer(tmp_path / "model.npz", precision="bfloat16")
    main = web / "user" / "name" / "resolve" / "main"
    deblurrer.save_to_preset(main)
    assert_same(srn_tf.load_model(main), model)  # not as rounded for use
    with pytest.raises(srn_tf.UserError, match="exists already"):
        deblurrer.save_to_preset(main)
    monkeypatch.setenv("HF_ENDPOINT", url)
    fetched = srn_tf.Deblurrer.from_preset("hf://user/name", precision="float32")
    picture = np.random.default_rng(0).random((20, 33, 3))
    expected = srn_tf.Deblurrer(tmp_path / "model.npz", precision="float32").deblur(picture)
    np.testing.assert_array_equal(fetched.deblur(picture), expected)
    of_folder = srn_tf.Deblurrer.from_preset(main, precision="float32")
    np.testing.assert_array_equal(of_folder.deblur(picture), expected)
    assert {path.name for path in (tmp_path / "cache").rglob("*.*")} == {
        *("config.json", "model.weights.h5")
    }
    for wrong, words in (("hf://user/none", "cannot be fetched"), ("hf://../x", "user/name")):
        with pytest.raises(srn_tf.UserError, match=words):
            presets.locate(wrong)


@pytest.mark.slow
def test_a_network_is_saved_as_a_preset(tmp_path, model):
    srn_tf.Deblurrer(model).save_to_preset(tmp_path / "hub")
    assert_same(srn_tf.Deblurrer.from_preset(tmp_path / "hub", precision="float32").model, model)


def header_of(folder) -> dict:
    _, header, _ = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return {
        key: json.loads(value)
        for key, value in (line.split(": ", 1) for line in header.split("\n")[:-1])
    }


@pytest.mark.slow
def test_the_folder_says_what_a_hub_asks_for(tmp_path, model):
    digest = presets.registry()[NAME]["sha256"]
    card = {"name": NAME, "parameters": model.count_params()}
    for name, more in {
        "ours": {"checkpoint": {"file": "x.npz", "sha256": digest}},
        "run": {"checkpoint": {}, "scores": {"psnr": 30.0, "ssim": 0.9}},
        "none": {"checkpoint": {}},
    }.items():
        (tmp_path / name).mkdir()
        hub.write(tmp_path / name, model, card | more)
    headers = {name: header_of(tmp_path / name) for name in ("ours", "run", "none")}
    for header in headers.values():
        assert header["library_name"] == "keras" and header["pipeline_tag"] == "image-to-image"
        assert header["metrics"] == ["psnr", "ssim"]
    assert headers["ours"]["license_name"] == presets.registry()[NAME]["licence"]
    (result,) = headers["run"]["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "psnr", "value": 30.0}, {"type": "ssim", "value": 0.9}]
    assert "model-index" not in headers["none"] and headers["none"]["license"] == "unknown"
    facts = json.loads((tmp_path / "ours" / "preprocessor.json").read_text())
    assert (facts["range"], facts["channels"], facts["size_multiple"]) == ([0, 1], 3, 16)
    metadata = json.loads((tmp_path / "ours" / "metadata.json").read_text())
    assert metadata["parameter_count"] == model.count_params()
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert keras.saving.deserialize_keras_object(config).config == model.config
