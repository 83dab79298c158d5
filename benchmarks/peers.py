"""Seconds of a forward pass at 720x1280 in bfloat16: this package, and OpenVINO, in one run.

Both compute the same network with the same weights, on all cores, alternating. OpenVINO knows the
size beforehand and gets floating-point pictures; `Deblurrer` takes a uint8 picture to a restored
one, as it would any other.
"""

import argparse
import pathlib
import tempfile

import numpy as np
import openvino
from timing import measure, print_table

from srn_tf import create_model
from srn_tf.config import MODELS, PRECISIONS
from srn_tf.export import export_saved_model
from srn_tf.inference import Deblurrer
from srn_tf.networks import restore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="color", choices=MODELS)
    parser.add_argument("--height", type=int, default=720, help="pixels (default: 720)")
    parser.add_argument("--width", type=int, default=1280, help="pixels (default: 1280)")
    parser.add_argument("--repeats", type=int, default=10, help="timed calls each (default: 10)")
    parser.add_argument("--float32", action="store_true", help="this package in float32, too")
    options = parser.parse_args()
    shape = (options.height, options.width, 3)
    picture = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    models = {
        precision: create_model(options.model, dtype=PRECISIONS[precision])
        for precision in ("bfloat16", "float32")
    }
    models["bfloat16"].set_weights(models["float32"].get_weights())
    blurred = picture[np.newaxis].astype(np.float32) / 255
    if models["float32"].config.channels == 1:  # R, G and B are a batch of three
        blurred = blurred.transpose(3, 1, 2, 0)
    peer = openvino_network(models["float32"], blurred.shape)

    calls = {"OpenVINO": lambda: peer(blurred)}
    for precision in ("bfloat16", "float32") if options.float32 else ("bfloat16",):
        deblurrer = Deblurrer(models[precision])
        calls[precision] = lambda deblurrer=deblurrer: deblurrer.deblur(picture)
    title = f"{options.model}, forward pass, {options.width}x{options.height}"
    print_table(title, measure(calls, options.repeats))

    exact = np.asarray(restore(models["float32"], blurred))
    print("  signal-to-noise ratio, against float32:")
    for name, output in (
        ("OpenVINO", peer(blurred)),
        ("bfloat16", np.asarray(restore(models["bfloat16"], blurred))),
    ):
        noise = np.mean((output - exact) ** 2) / np.mean(exact**2)
        print(f"  {name:12} {-10 * np.log10(noise):6.1f} dB")


def openvino_network(model, shape):
    """The network in OpenVINO, in bfloat16, as a function of float32 pictures of `shape`."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model")
        export_saved_model(model, path)
        network = openvino.convert_model(path)
    network.reshape(shape)
    hints = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(network, "CPU", hints).create_infer_request()
    return lambda blurred: request.infer({0: blurred})[0]


if __name__ == "__main__":
    main()
