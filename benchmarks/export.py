"""Seconds a picture of 720x1280 takes in each exported format, and in this package, in one run.

All take a uint8 picture to a restored one with the same weights, on all cores, alternating. ONNX
and LiteRT run in float32, OpenVINO also in bfloat16, which is a setting of its own, and in int8.
"""

import functools
import pathlib
import tempfile

import numpy as np
import onnxruntime
import skimage.data
import skimage.transform
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from lib.exported import openvino_network, run
from lib.results import SECONDS, arguments, table, write_results
from lib.timing import cores, measure, without_gpu

from srn_tf import create_model
from srn_tf.checkpoints import archive
from srn_tf.checkpoints.load import load_model
from srn_tf.export import export
from srn_tf.networks.configs import MODELS
from srn_tf.options import PRECISIONS
from srn_tf.restoration.deblurrer import Deblurrer


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="color", choices=MODELS, help="fresh weights")
    parser.add_argument("--checkpoint", help="in place of --model")
    parser.add_argument("--height", type=int, default=720, help="pixels (default: 720)")
    parser.add_argument("--width", type=int, default=1280, help="pixels (default: 1280)")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls each (default: 5)")
    parser.add_argument("--fixed", action="store_true", help="export for this size alone")
    options = parser.parse_args()
    without_gpu()
    size = (options.height, options.width)
    photo = skimage.transform.resize(skimage.data.coffee(), size)
    picture = np.rint(photo * 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        calls = restorers(options, pathlib.Path(folder), size if options.fixed else None)
        calls = {what: functools.partial(call, picture) for what, call in calls.items()}
        timings = measure(calls, options.repeats)
    name = options.checkpoint or options.model
    rows = [
        {"what": what, "precision": precision, **timing.row()}
        for (what, precision), timing in timings.items()
    ]
    print(f"{name}, {options.width}x{options.height}")
    columns = {"": "{what}", "precision": "{precision}", "first s": "{first:.3g}", **SECONDS}
    print(table(rows, columns))
    sizes = {"height": options.height, "width": options.width, "fixed": options.fixed}
    write_results("export", options, rows, model=name, **sizes)


def restorers(options, folder: pathlib.Path, size) -> dict:
    """Functions from a uint8 picture to a restored one, by what computes them, and precision."""
    models = {}
    for precision in ("float32", "bfloat16"):
        models[precision] = (
            load_model(options.checkpoint, PRECISIONS[precision])
            if options.checkpoint
            else create_model(options.model, dtype=PRECISIONS[precision])
        )
    models["bfloat16"].set_weights(models["float32"].get_weights())
    archive.save(path := folder / "weights.npz", options.model, models["float32"])
    calls = {("srn_tf", precision): Deblurrer(path, precision).deblur for precision in models}
    formats = {}  # functions of float32 pictures in [0, 1]

    for precision, model in models.items():
        export(model, folder / precision)
        loaded = tf.saved_model.load(folder / precision)
        formats["SavedModel", precision] = functools.partial(run_saved_model, loaded)
    model = models["float32"]

    export(model, folder / "deblur.onnx", "onnx", size=size)
    session = onnxruntime.InferenceSession(folder / "deblur.onnx")
    formats["ONNX", "float32"] = lambda image: session.run(["restored"], {"image": image})[0]

    export(model, folder / "openvino", "openvino", size=size)
    for precision in ("float32", "bfloat16"):
        formats["OpenVINO", precision] = openvino_network(folder / "openvino", precision)
    middle = np.float32(skimage.data.coffee()[72:328, 172:428]) / 255
    export(model, folder / "int8", "openvino", size=size, calibration=[middle])
    formats["OpenVINO", "int8"] = openvino_network(folder / "int8", "float32")

    export(model, folder / "deblur.tflite", "litert", size=size)
    interpreter = Interpreter(str(folder / "deblur.tflite"), num_threads=cores())
    runner = interpreter.get_signature_runner()
    formats["LiteRT", "float32"] = lambda image: runner(image=image)["restored"]

    return calls | {name: functools.partial(run, restore) for name, restore in formats.items()}


def run_saved_model(loaded, image):
    return loaded.signatures["serving_default"](image=tf.constant(image))["restored"]


if __name__ == "__main__":
    main()
