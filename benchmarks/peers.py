"""Seconds of a forward pass at 720x1280: this package, and OpenVINO with the same network.

Alternating in one run, on all cores, both in bfloat16. OpenVINO gets float pictures of one size
that it knows beforehand; this package restores a uint8 picture, as `Deblurrer` does for any size.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="color", choices=MODELS)
    parser.add_argument("--height", type=int, default=720, help="pixels (default: 720)")
    parser.add_argument("--width", type=int, default=1280, help="pixels (default: 1280)")
    parser.add_argument("--repeats", type=int, default=10, help="timed calls each (default: 10)")
    parser.add_argument("--float32", action="store_true", help="this package in float32, too")
    options = parser.parse_args()
    model = create_model(options.model)
    shape = (options.height, options.width, 3)
    picture = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    peer = openvino_network(model, shape)
    calls = {"OpenVINO": lambda: peer(picture)}
    for precision in ("bfloat16", "float32")[: 1 + options.float32]:
        network = create_model(options.model, dtype=PRECISIONS[precision])
        network.set_weights(model.get_weights())
        deblurrer = Deblurrer(network)
        calls[precision] = lambda deblurrer=deblurrer: deblurrer.deblur(picture)
    title = f"{options.model}, forward pass, {options.width}x{options.height}"
    print_table(title, measure(calls, options.repeats))
    expected = calls["OpenVINO"]()
    expected = np.rint(np.clip(expected, 0, 1) * 255)
    difference = np.abs(calls["bfloat16"]() - expected)
    print(
        f"  bfloat16 and OpenVINO differ by {difference.mean():.2f} grey levels on average, "
        f"{difference.max():.0f} at most; the picture's are spread by {expected.std():.1f}"
    )


def openvino_network(model, shape):
    """A function of a uint8 picture of `shape` that gives the float picture OpenVINO restores."""
    height, width, colors = shape
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model")
        export_saved_model(model, path)
        network = openvino.convert_model(path)
    channels = model.config.channels
    network.reshape((colors // channels, height, width, channels))
    hints = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(network, "CPU", hints).create_infer_request()

    def restore(picture):
        blurred = picture[np.newaxis].astype(np.float32) / 255
        if channels == colors:
            return request.infer({0: blurred})[0][0]
        # A one-channel model sees R, G and B as a batch of three.
        return request.infer({0: blurred.transpose(3, 1, 2, 0)})[0].transpose(3, 1, 2, 0)[0]

    return restore


if __name__ == "__main__":
    main()
