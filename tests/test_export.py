"""Export: other programs load what is written, and get the package's numbers."""

import base64
import hashlib
import http.server
import io
import json
import pathlib
import re
import subprocess
import sys
import threading

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from helpers import LEAST, TESTS, randomize, run_python

import srn_tf
from srn_tf.checkpoints import archive
from srn_tf.cli import export as command
from srn_tf.export import Restorer, export

pytestmark = pytest.mark.long

PICTURES = TESTS.parent / "demo" / "pictures" / "sharp"
SMALL_BY_NAME = {
    "mscnn": {"kernel_size": 3, "width": 4, "blocks": 1},
    "pss_nsc": {"widths": (4, 6, 8), "scales": 1},
}
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


def small_model(name: str):
    model = srn_tf.create_model(name, **SMALL_BY_NAME.get(name, LEAST))
    randomize(model)
    return model


def save_and_export(folder, name: str, model, *flags: str) -> int:
    """Runs the command on a checkpoint of the model; gives its exit status."""
    archive.save(folder / "model.npz", name, model)
    return command.main([f"--checkpoint={folder / 'model.npz'}", *flags])


def package_result(model, image: np.ndarray) -> np.ndarray:
    """What the package itself computes: not clipped; a channel at a time for one of one channel."""
    channels = model.config.channels
    parts = [image[..., i : i + channels] for i in range(0, 3, channels)]
    multiple = model.config.size_multiple
    margins = [(0, 0), *((0, -size % multiple) for size in image.shape[1:3]), (0, 0)]
    restored = [np.asarray(model(np.pad(part, margins, mode="edge"))[-1]) for part in parts]
    return np.concatenate(restored, axis=-1)[:, : image.shape[1], : image.shape[2]]


def assert_parity(restored, model, image: np.ndarray) -> None:
    expected = package_result(model, image)
    assert np.ptp(expected) > 0.1  # a network that died would agree in any format
    assert restored.shape == image.shape
    bound = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(restored, expected, rtol=0, atol=bound)


def pictures(*shapes) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random(shape, np.float32) for shape in shapes]


def encode(image: np.ndarray, kind: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def test_plain_tensorflow_gets_the_packages_numbers_at_two_sizes(tmp_path):
    model = small_model("lstm")
    folder = tmp_path / "saved_model"
    assert save_and_export(tmp_path, "lstm", model, f"--output_path={folder}") == 0
    one, two = pictures((1, 33, 50, 3), (2, 16, 20, 3))
    np.savez(tmp_path / "in.npz", one=one, two=two)
    paths = {"inputs": str(tmp_path / "in.npz"), "outputs": str(tmp_path / "out.npz")}
    printed = run_python(LOAD.format(folder=str(folder), **paths))
    assert printed.strip() == "image (None, None, None, 3) float32 ['restored']"
    outputs = np.load(tmp_path / "out.npz")
    assert_parity(outputs["one"], model, one)
    assert_parity(outputs["two"], model, two)


def test_saved_model_cli_runs_it(saved_model, tmp_path, model):
    (image,) = pictures((1, 20, 33, 3))
    np.save(tmp_path / "image.npy", image)
    program = pathlib.Path(sys.executable).with_name("saved_model_cli")
    words = ["run", "--dir", saved_model, "--tag_set", "serve", "--signature_def"]
    words += ["serving_default", "--inputs", f"image={tmp_path / 'image.npy'}"]
    result = subprocess.run([program, *words, "--outdir", tmp_path], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert_parity(np.load(tmp_path / "restored.npy"), model, image)


@pytest.fixture(scope="module")
def model():
    return small_model("color_lstm_residual")


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory, model):
    """The folder of a SavedModel, the command's default."""
    folder = tmp_path_factory.mktemp("export")
    flags = ["--output_path", str(folder / "saved_model")]
    assert save_and_export(folder, "color_lstm_residual", model, *flags) == 0
    return folder / "saved_model"


@pytest.fixture(scope="module")
def serving_bytes(saved_model):
    """The signature from encoded to encoded pictures."""
    loaded = tf.saved_model.load(saved_model)
    signature = loaded.signatures["serving_bytes"]
    yield lambda pictures: signature(image_bytes=tf.constant(pictures))["restored_bytes"].numpy()
    del loaded  # which owns the variables


def test_encoded_pictures_of_all_kinds_and_sizes_go_through_in_one_request(
    serving_bytes, model, photo
):
    photo = photo[:70, :90]
    gray = photo[..., 1]
    palette = PIL.Image.fromarray(photo).convert("P")
    # What is seen of each picture, and the picture encoded.
    requests = [
        (photo, encode(photo, "PNG")),
        (photo[:33, :17], encode(photo[:33, :17], "PNG")),
        (photo[:1, :1], encode(photo[:1, :1], "PNG", "RGBA")),
        (np.stack([gray] * 3, axis=-1), encode(gray, "PNG", "L")),
        (np.asarray(palette.convert("RGB")), encode(photo, "PNG", "P")),
        *((jpeg_pixels(jpeg), jpeg) for jpeg in [encode(photo, "JPEG"), encode(gray, "JPEG", "L")]),
    ]
    raw = package_result(model, photo[np.newaxis].astype(np.float32) / 255)
    assert raw.min() < 0 and raw.max() > 1  # so there is something to clip
    answers = serving_bytes([encoded for _, encoded in requests])
    deblurrer = srn_tf.Deblurrer(model)
    for (seen, _), answer in zip(requests, answers, strict=True):
        restored = PIL.Image.open(io.BytesIO(answer))
        assert (restored.format, restored.mode) == ("PNG", "RGB")
        difference = np.asarray(restored).astype(int) - deblurrer.deblur(seen)
        assert np.abs(difference).max() <= 1  # where rounding is a tie


def jpeg_pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(encoded)).convert("RGB"))


@pytest.mark.parametrize("broken", ["nothing", "text", "half", "webp"])
def test_a_picture_that_is_none_is_an_error(serving_bytes, photo, broken):
    encoded = {
        "nothing": b"",
        "text": b"no picture",
        "half": encode(photo, "PNG")[:5000],
        "webp": encode(photo, "WEBP"),
    }
    with pytest.raises(tf.errors.InvalidArgumentError):
        serving_bytes([encoded[broken]])


def test_the_model_card_says_what_is_inside(saved_model, model):
    checkpoint = saved_model.parent / "model.npz"
    card = json.loads((saved_model / "assets.extra" / "model_card.json").read_text())
    assert card.pop("configuration")["widths"] == list(model.config.widths)
    assert card == {
        "name": "color_lstm_residual",
        "parameters": model.count_params(),
        "precision": "float32",
        "checkpoint": {
            "file": "model.npz",
            "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        },
    }


def test_weights_are_stored_once(saved_model, model):
    stored = tf.train.list_variables(str(saved_model / "variables" / "variables"))
    numbers = sum(int(np.prod(shape)) for name, shape in stored if shape)
    assert numbers == model.count_params()


def test_the_client_of_the_documentation_gets_a_picture(
    serving_bytes, model, photo, tmp_path, monkeypatch
):
    """TensorFlow Serving's part, JSON to signature and back, is played as its manual tells it."""

    class Serving(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == "/v1/models/srn:predict"
            assert request.pop("signature_name") == "serving_bytes"
            ((key, instances),) = request.items()
            assert key == "instances"
            decoded = [base64.b64decode(instance["b64"]) for instance in instances]
            # One output is a list of its values; its name ends in _bytes, so they are base64.
            answers = [{"b64": base64.b64encode(a).decode()} for a in serving_bytes(decoded)]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"predictions": answers}).encode())

        def log_message(self, *words):
            pass

    page = (TESTS.parent / "docs" / "export.md").read_text(encoding="utf-8")
    (client,) = re.findall(r"```python\n([^`]*urllib[^`]*)```", page)
    server = http.server.HTTPServer(("localhost", 0), Serving)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    photo = photo[:40, :56]
    (tmp_path / "blurred.png").write_bytes(encode(photo, "PNG"))
    monkeypatch.chdir(tmp_path)
    try:
        assert "localhost:8501" in client
        exec(client.replace(":8501", f":{server.server_port}"), {})
    finally:
        server.shutdown()
        server.server_close()
    restored = np.asarray(PIL.Image.open(tmp_path / "restored.png")).astype(int)
    assert np.abs(restored - srn_tf.Deblurrer(model).deblur(photo)).max() <= 1


def test_bfloat16_is_near_float32(tmp_path, model, photo):
    flags = ["--precision=bfloat16", f"--output_path={tmp_path / 'saved_model'}"]
    assert save_and_export(tmp_path, "color_lstm_residual", model, *flags) == 0
    image = photo[np.newaxis, :64, :96].astype(np.float32) / 255
    loaded = tf.saved_model.load(tmp_path / "saved_model")
    restored = loaded.signatures["serving_default"](image=tf.constant(image))["restored"]
    error = np.mean((restored - package_result(model, image)) ** 2)
    assert 48 <= -10 * np.log10(error) < 90  # more would be float32


def run_onnx(path, image: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["restored"], {"image": image})[0]


def run_openvino(path, image: np.ndarray) -> np.ndarray:
    import openvino

    # Where the processor has bfloat16, it is OpenVINO's default.
    hints = {"INFERENCE_PRECISION_HINT": "f32"}
    network = openvino.Core().compile_model(path / "model.xml", "CPU", hints)
    return network({"image": image})["restored"]


def run_litert(path, image: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    restore = Interpreter(str(path)).get_signature_runner("serving_default")
    return restore(image=image)["restored"]


RUN = {"onnx": run_onnx, "openvino": run_openvino, "litert": run_litert}
NAMES = {"onnx": "deblur.onnx", "openvino": "deblur", "litert": "deblur.tflite"}


@pytest.mark.parametrize(
    ("format", "name"),
    [
        *((format, "lstm") for format in RUN),
        ("onnx", "mscnn"),
        ("litert", "pss_nsc"),
    ],
)
def test_other_formats_give_the_packages_numbers_at_two_sizes(tmp_path, format, name):
    model = small_model(name)
    path = tmp_path / NAMES[format]
    flags = [f"--format={format}", f"--output_path={path}"]
    assert save_and_export(tmp_path, name, model, *flags) == 0
    for image in pictures((1, 33, 50, 3), (2, 20, 16, 3)):
        assert_parity(RUN[format](path, image), model, image)


@pytest.mark.parametrize("size", [[], ["--height=48", "--width=64"]])
def test_8_bit_integers_are_near_float32(tmp_path, model, photo, size):
    import openvino

    (tmp_path / "photos").mkdir()
    for i in range(3):
        # Darker than what is restored: the picture itself must not be cut off.
        dark = photo[100 * i : 100 * i + 96] // 2
        PIL.Image.fromarray(dark).save(tmp_path / "photos" / f"{i}.png")
    flags = ["--format=openvino", "--precision=int8", f"--calibration_path={tmp_path / 'photos'}"]
    flags += [f"--output_path={tmp_path / 'deblur'}", *size]
    assert save_and_export(tmp_path, "color_lstm_residual", model, *flags) == 0
    assert sorted(file.name for file in (tmp_path / "deblur").iterdir()) == [
        *("model.bin", "model.xml")
    ]
    network = openvino.Core().read_model(tmp_path / "deblur" / "model.xml")
    kinds = [operation.get_type_name() for operation in network.get_ops()]
    assert kinds.count("FakeQuantize") >= kinds.count("Convolution") > 0
    image = photo[np.newaxis, 200:248, 100:164].astype(np.float32) / 255
    restored = run_openvino(tmp_path / "deblur", image)
    error = np.mean((restored - package_result(model, image)) ** 2)
    assert 38 <= -10 * np.log10(error) < 80  # more would be float32


def test_a_size_can_be_fixed(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    model = small_model("ss")
    path = tmp_path / "deblur.tflite"
    flags = ["--format=litert", "--height=33", "--width=50", f"--output_path={path}"]
    assert save_and_export(tmp_path, "ss", model, *flags) == 0
    (details,) = Interpreter(str(path)).get_input_details()
    assert details["shape_signature"].tolist() == [1, 33, 50, 3]
    (image,) = pictures((1, 33, 50, 3))
    assert_parity(run_litert(path, image), model, image)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format=onnx", "--output_path=deblur"], "deblur: for onnx the name must end in .onnx"),
        (
            ["--format=onnx", "--precision=bfloat16", "--output_path=new.onnx"],
            "onnx is written in float32 only, not mixed_bfloat16",
        ),
        (["--precision=int8", "--output_path=new"], "int8 and --calibration_path are needed tog"),
        (
            ["--precision=int8", "--calibration_path=", "--output_path=new"],
            "int8 and --calibration_path are needed together",
        ),
        (["--calibration_path=mine", "--output_path=new"], "int8 and --calibration_path are nee"),
        (
            ["--format=onnx", "--precision=int8", f"--calibration_path={PICTURES}"],
            "8-bit integers are written for openvino, not for onnx",
        ),
        (
            ["--precision=int8", "--calibration_path=mine", "--output_path=new"],
            "mine/photo.jpg: not a picture that can be read",
        ),
        (["--height=16", "--width=16", "--output_path=new"], "a SavedModel takes any size"),
        (["--format=litert", "--height=16"], "--height and --width are needed together"),
        (["--model=color", "--output_path=new"], "holds a model color_lstm_residual, not color"),
        (["--format=onnx"], "deblur.onnx: exists already"),
        (["--output_path=mine"], "mine: exists already"),
        (["--output_path=mine", "--overwrite"], "mine: is not an export of saved_model"),
        (["--output_path=deblur.onnx", "--overwrite"], "deblur.onnx: is not an export of"),
    ],
)
def test_what_cannot_be_written_gets_one_line_and_nothing_is_lost(
    tmp_path, monkeypatch, capsys, model, flags, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for kept in ("mine/photo.jpg", "deblur.onnx"):
        (tmp_path / kept).write_text("kept")
    before = ["deblur.onnx", "mine", "mine/photo.jpg", "model.npz"]
    status = save_and_export(
        tmp_path, "color_lstm_residual", model, "--output_path=deblur.onnx", *flags
    )
    assert status == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("srn-export: ") and message in line
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == before
    assert (tmp_path / "deblur.onnx").read_text() == "kept"


def test_a_network_that_needs_deconvolutions_is_not_exported(tmp_path):
    chooser = srn_tf.create_model("chooser", widths=(4, 4, 4), blocks=(1, 1, 1))
    with pytest.raises(ValueError, match="chooses among deconvolutions of a picture cannot be"):
        export(chooser, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("format", "package"), [("onnx", "tf2onnx"), ("openvino", "openvino")])
def test_a_missing_package_is_told_with_its_extra(tmp_path, monkeypatch, model, format, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"needs the package {package}: .*\[{format}\]"):
        export(model, tmp_path / NAMES[format], format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", RUN)
def test_what_a_format_cannot_express_is_told_and_leaves_nothing(
    tmp_path, monkeypatch, model, format
):
    def fail(self, path, **options):
        pathlib.Path(path).write_text("half")
        raise RuntimeError("no operation Foo\n  at node bar")

    monkeypatch.setattr(Restorer, "export", fail)
    with pytest.raises(ValueError, match=f"{format} cannot express .*: no operation Foo$"):
        export(model, tmp_path / NAMES[format], format)
    assert list(tmp_path.iterdir()) == []


def test_overwrite_replaces_an_earlier_export(tmp_path, monkeypatch, model):
    folder, file = tmp_path / "deblur", tmp_path / "deblur.onnx"
    monkeypatch.setattr(
        Restorer, "export", lambda self, path, **_: pathlib.Path(path).write_text("new")
    )
    folder.mkdir()
    for path in (folder / "model.xml", folder / "of_before", file):
        path.write_text("old")
    export(model, folder, "openvino", overwrite=True)
    export(model, file, "onnx", overwrite=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        *("deblur", "deblur.onnx", "model.xml")
    ]
    assert (folder / "model.xml").read_text() == file.read_text() == "new"


def test_an_earlier_export_stays_when_a_new_one_fails(tmp_path, monkeypatch, model):
    def fail(self, path, **options):
        raise RuntimeError("no")

    monkeypatch.setattr(Restorer, "export", fail)
    folder = tmp_path / "deblur"
    folder.mkdir()
    (folder / "model.xml").write_text("old")
    with pytest.raises(ValueError, match="no"):
        export(model, folder, "openvino", overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["deblur", "model.xml"]
