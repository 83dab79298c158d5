"""What was exported, as restorers of pictures."""

import pathlib

import numpy as np
import openvino

from srn_tf.restoration.normalize import restore_arrays

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def openvino_network(folder: pathlib.Path, precision: str):
    """A function of float32 pictures [batch, height, width, 3] in [0, 1], on all cores; what has
    been quantized is computed in int8 in either precision."""
    hints = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
    network = openvino.Core().compile_model(folder / "model.xml", "CPU", hints)
    return lambda image: network({"image": image})["restored"]


def run(restore, picture: np.ndarray) -> np.ndarray:
    """A uint8 picture, restored by a function of float32 pictures in [0, 1]."""

    def scaled(blurred, peak):
        return np.array(restore(blurred.astype(np.float32) / np.float32(peak)))

    return restore_arrays(picture[np.newaxis], 3, scaled)[0]


class Exported:
    """A Deblurrer of a network exported for OpenVINO, in float32 or int8."""

    def __init__(self, folder: pathlib.Path):
        self._network = openvino_network(folder, "float32")

    def deblur(self, picture: np.ndarray) -> np.ndarray:
        """From a uint8 picture to a restored one."""
        return run(self._network, picture)
