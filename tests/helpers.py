"""Shared by the tests: where they are, small networks and trainings, programs of their own."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np

from srn_tf.data.config import DataConfig
from srn_tf.networks.configs import model_config
from srn_tf.training.config import TrainingConfig

TESTS = pathlib.Path(__file__).resolve().parent
# A network of the same shape that a test can afford.
SMALL = {"kernel_size": 3, "widths": (4, 6, 8), "blocks": 1}


def randomize(model, seed: int = 0, scale: float = 0.1) -> None:
    """Gives every variable random values: fresh biases and residual outputs are zero.

    Networks whose output is the picture itself make it gray on average, not black.
    """
    rng = np.random.default_rng(seed)
    residual = model.name != "srn" or model.config.residual
    for variable in model.variables:
        gray = 0.5 if variable.path.endswith("dec1_0/bias") and not residual else 0.0
        variable.assign(rng.normal(gray, scale, variable.shape))


def run_python(code: str, **environment) -> str:
    """Runs code in a fresh interpreter and gives what it printed."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def configuration(**changes) -> TrainingConfig:
    """A small training of six steps; `changes` as for `changed`."""
    data = DataConfig(sharp_path="unused", max_blur=4.0, crop_size=32)
    network = model_config("color_lstm", **SMALL)
    rates = {"lr": 1e-3, "end_lr": 1e-4}
    config = TrainingConfig("color_lstm", network, data, batch_size=2, max_steps=6, **rates)
    return changed(config, **changes)


def changed(config: TrainingConfig, **changes) -> TrainingConfig:
    """With other values of its fields, or of those of its data."""
    of_data = {field.name for field in dataclasses.fields(DataConfig)} & changes.keys()
    data = dataclasses.replace(config.data, **{name: changes.pop(name) for name in of_data})
    return dataclasses.replace(config, data=data, **changes)


def tiny(**changes) -> TrainingConfig:
    """The same of a network that is traced at once: one scale, one block."""
    network = model_config("ss", kernel_size=1, widths=(2, 2), blocks=1)
    return configuration(**{"model": "ss", "network": network, "crop_size": 16, **changes})


def metrics(run_dir) -> list[dict]:
    """The whole lines of a run's metrics.jsonl; none where there is none yet."""
    path = pathlib.Path(run_dir, "metrics.jsonl")
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def write_tf1_checkpoint(prefix, weights: dict, training_state: bool, scope: str = "") -> None:
    """Writes a checkpoint as TensorFlow 1's Saver did, with what its Adam kept if asked for."""
    import tensorflow as tf

    arrays = dict(weights)
    if training_state:
        for name, array in weights.items():
            arrays[f"{scope}{name}/Adam"] = np.ones_like(array)
            arrays[f"{scope}{name}/Adam_1"] = np.ones_like(array)
        arrays[f"{scope}beta1_power"] = np.float32(0.5)
        arrays[f"{scope}beta2_power"] = np.float32(0.9)
        arrays["Variable"] = np.int32(523000)
    names, values = zip(*sorted(arrays.items()), strict=True)
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
    )


def make_video(
    path,
    frames,
    codec="libx264",
    pix_fmt="yuv420p",
    rate=Fraction(105611, 1000),
    times=None,
    trim=Fraction(0),
    sound=True,
    **attributes,
) -> None:
    """Writes a video of uint8 RGB frames with 0.28 s of AAC, with PyAV alone.

    Args:
        times: of the frames, in frames of `rate`; by default one after the other.
        trim: seconds at the start that an edit list leaves out.
        attributes: of the encoder, such as sample_aspect_ratio; `matrix`, to be displayed with;
            `metadata`, of the file.
    """
    metadata, matrix = attributes.pop("metadata", {}), attributes.pop("matrix", None)
    quality = {"libx264": {"crf": "5"}, "libx265": {"x265-params": "crf=5:log-level=none"}}
    names = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "avi": "avi"}
    with av.open(f"file:{path}", "w", format=names[path.suffix[1:]]) as output:
        output.metadata.update(metadata)
        video = output.add_stream(codec, rate, quality.get(codec, {}))
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], pix_fmt
        for name, value in attributes.items():
            setattr(video.codec_context, name, value)
        if matrix:
            video.set_display_matrix(matrix)
        full = attributes.get("color_range") == 2
        packets = []
        for time, pixels in zip(times or range(len(frames)), frames, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format=pix_fmt,
                dst_colorspace=attributes.get("colorspace", 5),
                dst_color_range=2 if full else 1,
                interpolation="BICUBIC",
            )
            frame.pts = time
            packets += video.encode(frame)
        packets += video.encode()
        if sound:
            audio = output.add_stream("aac", 44100, layout="mono")
            audio.metadata["language"] = "deu"
            tone = np.sin(np.arange(12 * 1024) ** 1.2 / 50).astype(np.float32) / 2
            for start in range(0, tone.size, 1024):
                part = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], "fltp", "mono")
                part.sample_rate, part.pts = 44100, start
                packets += audio.encode(part)
            packets += audio.encode()
        for packet in packets:
            packet.pts -= int(trim / packet.time_base)
            packet.dts -= int(trim / packet.time_base)
        output.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
