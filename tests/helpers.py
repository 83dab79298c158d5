"""Shared by the tests: where they are, small networks and trainings, programs of their own."""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction

import av
import numpy as np

from srn_tf.data.config import DataConfig
from srn_tf.networks.configs import model_config
from srn_tf.training.config import TrainingConfig

TESTS = pathlib.Path(__file__).resolve().parent
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["preloaded"])
# A network of the same shape that a test can afford.
SMALL = {"kernel_size": 3, "widths": (4, 6, 8), "blocks": 1}
# The least that has a state to carry on and a skip, for trainings: a step is traced op by op.
LEAST = {"kernel_size": 3, "widths": (4, 6), "blocks": 1, "scales": 2}
# Of "ss", where what is learnt does not matter: one scale, one level, one block.
TINY = {"kernel_size": 1, "widths": (2,), "blocks": 1, "recurrence": "none"}


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


def compiling_once(folder) -> dict[str, str]:
    """The environment in which what one process of JAX has compiled, the next one need not."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        # What the compiler saves in the steps it costs many times over.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }


class Forked:
    """Python code that runs in a process of its own, forked from one that has TensorFlow imported.

    Attributes:
        process: has pid, exitcode, is_alive and kill.

    Args:
        code: to run.
        largest_file: that the system allows there, in bytes.
        environment: variables beside those of this process.
    """

    def __init__(self, code: str, largest_file: int | None = None, **environment):
        self._output = tempfile.NamedTemporaryFile()  # noqa: SIM115 - lives as long as this
        arguments = (code, self._output.name, largest_file, environment)
        self.process = _FORKS.Process(target=_run_forked, args=arguments)
        self.process.start()

    def wait(self, seconds: float = 1800) -> int:
        """Waits for its end; gives its exit status, the negative number of a signal."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, self.printed
        return self.process.exitcode

    @property
    def printed(self) -> str:
        return pathlib.Path(self._output.name).read_text()


def _run_forked(code: str, output: str, largest_file: int | None, environment: dict) -> None:
    os.environ.update(environment)
    with open(output, "w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    exec(code, {"__name__": "__main__"})


def srn_train(words, networks=None) -> str:
    """The code of a command srn-train.

    Args:
        words: its arguments.
        networks: small ones under the names of large ones, for which the command has no flags.
    """
    return (
        "import dataclasses, sys\n"
        "from srn_tf.cli.train import main\n"
        "from srn_tf.networks.configs import MODELS\n"
        f"for name, network in {networks or {}!r}.items():\n"
        "    MODELS[name] = dataclasses.replace(MODELS[name], **network)\n"
        f"sys.exit(main({list(words)!r}))\n"
    )


def configuration(**changes) -> TrainingConfig:
    """A small training of six steps; `changes` as for `changed`."""
    data = DataConfig(sharp_path="unused", max_blur=4.0, crop_size=32)
    network = model_config("color_lstm", **LEAST)
    rates = {"lr": 1e-3, "end_lr": 1e-4}
    config = TrainingConfig("color_lstm", network, data, batch_size=2, max_steps=6, **rates)
    return changed(config, **changes)


def changed(config: TrainingConfig, **changes) -> TrainingConfig:
    """With other values of its fields, or of those of its data."""
    of_data = {field.name for field in dataclasses.fields(DataConfig)} & changes.keys()
    data = dataclasses.replace(config.data, **{name: changes.pop(name) for name in of_data})
    return dataclasses.replace(config, data=data, **changes)


def tiny(**changes) -> TrainingConfig:
    """The same of a network that is traced at once."""
    network = model_config("ss", **TINY)
    return configuration(**{"model": "ss", "network": network, "crop_size": 16, **changes})


@contextlib.contextmanager
def eagerly():
    """Steps are computed op by op in it: for one or a few of them, tracing costs more."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


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
