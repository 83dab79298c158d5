"""Forward pass on the processor: seconds, TFLOP/s, percent of a large matmul, and peak memory.

All alternatives of a picture size take turns, each in a process of its own, and so do matmuls of
each precision, in those of TensorFlow and PyTorch that are installed: the faster is what the others
are compared with. Two operations count for each multiplication of a convolution.
--peers puts the same network in plain PyTorch (eager and compiled) and in OpenVINO beside ours.
"""

import contextlib
import functools
import importlib.util
import os
import pathlib
import re
import sys
import tempfile

from timing import (
    SECONDS,
    Worker,
    arguments,
    checked_config,
    cores,
    measure,
    overrides_of,
    table,
    without_gpu,
    write_results,
)

from srn_tf.networks.configs import MODELS
from srn_tf.options import PRECISIONS

MATMUL = 4096  # side of the matrices
# Otherwise glibc gives memory of 32 MiB or more back to the system each time, and takes it anew:
# PyTorch's guide to tuning says to avoid that.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
COLUMNS = {
    "": "{what}",
    "precision": "{precision}",
    "first s": "{first:.3g}",
    **SECONDS,
    "TFLOP/s": "{tflops:.2f}",
    "of matmul": "{of_matmul:.0%}",
    "peak GB": "{peak_gb:.1f}",
    "time / ours": "{ratio:.2f}",
}
BACKENDS = ("tensorflow", "jax", "torch", "openvino")


def size_of(text: str) -> tuple[int, int, int]:
    """(batch, height, width) of WIDTHxHEIGHT or WIDTHxHEIGHTxBATCH."""
    width, height, *batch = map(int, text.split("x"))
    (batch,) = batch or (1,)
    return batch, height, width


def pictures_of(size, channels: int):
    import numpy as np

    return np.random.default_rng(0).random((*size, channels), dtype=np.float32)


def make_forward(name: str, overrides: dict, precision: str, size):
    """Ours, on the Keras backend of this process."""
    from backends import forward

    from srn_tf import create_model

    model = create_model(name, dtype=precision, **overrides)
    return forward(model, pictures_of(size, model.config.channels))


def make_matmul(precision: str):
    from backends import matmul

    return matmul(MATMUL, precision)


def make_torch(name: str, overrides: dict, precision: str, size, compiled: bool):
    """The same network in plain PyTorch; compiled with its weights as constants."""
    import torch
    from torch._inductor import config as inductor
    from torch_network import TorchNetwork

    from srn_tf import create_model

    model = create_model(name, **overrides)
    torch.set_num_threads(cores())
    network = TorchNetwork(model, getattr(torch, precision))
    x = torch.tensor(pictures_of(size, model.config.channels)).permute(0, 3, 1, 2)
    if compiled:
        inductor.freezing = True
        network = torch.compile(network)
    return functools.partial(torch.no_grad()(network), x)


def write_openvino(name: str, overrides: dict, folder):
    """Exports the network."""
    from srn_tf import create_model
    from srn_tf.export import export

    export(create_model(name, **overrides), folder, "openvino")
    return lambda: None


def make_openvino(folder, precision: str, size):
    """The exported network."""
    import openvino

    hint = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision]
    hints = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    hints["INFERENCE_NUM_THREADS"] = cores()
    core = openvino.Core()
    model = core.read_model(folder / "model.xml")
    model.reshape([*size, 3])
    pictures = pictures_of(size, 3)
    compiled = functools.cache(lambda: core.compile_model(model, "CPU", hints))
    return lambda: compiled()({"image": pictures})["restored"]


def compare(alternatives: dict, work: float, options) -> list[dict]:
    """Times alternatives in turn, each in a process of its own, beside matmuls.

    What cannot be made or called is told of and left out; without ours the run ends.

    Args:
        alternatives: (what, precision) -> (Keras backend, function that makes the call, its
            arguments); ours first.
        work: operations of one call.
        options: with `repeats` and `seconds`.

    Returns:
        A row for each, with TFLOP/s, the part of what the fastest matmul of its precision reaches,
        peak memory, and its time as a multiple of ours in that precision.
    """
    references: dict[str, str] = {}  # what the others of a precision are compared with
    for what, precision in alternatives:
        references.setdefault(precision, what)

    def failed(key, error) -> None:
        left_out(key, error)
        if key in alternatives and references[key[1]] == key[0]:
            sys.exit(f"without {', '.join(key)} there is nothing to compare with")

    installed = list(filter(importlib.util.find_spec, ("tensorflow", "torch"))) or ["jax"]
    ceilings = {
        (f"matmul, {backend}", precision): (backend, make_matmul, precision)
        for precision in references
        for backend in installed
    }
    with contextlib.ExitStack() as stack:
        calls = {}
        for key, (backend, *make) in (ceilings | alternatives).items():
            try:
                worker = Worker(*make, environment={"KERAS_BACKEND": backend, **MALLOC})
            except RuntimeError as error:
                failed(key, error)
                continue
            stack.callback(worker.close)
            calls[key] = worker
        timings = measure(calls, options.repeats, options.seconds, failed)
    rows = []
    for precision, ours in references.items():
        own = {what: timing for (what, other), timing in timings.items() if other == precision}
        speeds = {
            what: (2 * MATMUL**3 if what.startswith("matmul") else work) / timing.median
            for what, timing in own.items()
        }
        matmuls = [speed for what, speed in speeds.items() if what.startswith("matmul")]
        if not matmuls:
            sys.exit(f"{precision}: without a matmul there is nothing to compare with")
        for what, timing in own.items():
            row = {"what": what, "precision": precision, **timing.row()}
            row |= {"tflops": round(speeds[what] / 1e12, 3)}
            row |= {"of_matmul": round(speeds[what] / max(matmuls), 3)}
            row |= {"peak_gb": round(calls[what, precision].peak_gb, 2)}
            if not what.startswith("matmul"):
                row["ratio"] = round(timing.median / own[ours].median, 3)
            rows.append(row)
    return rows


def left_out(what: tuple[str, ...], why) -> None:
    """Tells what is not compared, and why: of a traceback, the line with the error."""
    last = str(why).strip().rpartition("Traceback (")[-1].splitlines()
    why = next((line for line in last if re.match(r"[\w.]+: ", line)), last[-1])
    print(f"left out: {', '.join(what)}: {why}", flush=True)


def exported(name: str, overrides: dict, folder: pathlib.Path) -> bool:
    """Whether the network is there for OpenVINO, written in a process that is not measured."""
    try:
        if not folder.exists():
            make = (write_openvino, name, overrides, folder)
            Worker(*make, environment={"KERAS_BACKEND": "tensorflow"}).close()
    except RuntimeError as error:
        left_out(("OpenVINO",), error)
    return folder.exists()


def measure_size(options, name: str, size, folder: pathlib.Path) -> list[dict]:
    """The rows of one network at one size."""
    # Here, not above: the processes of the alternatives import this file, and need no more.
    from srn_tf.networks.macs import macs_a_pixel

    overrides = overrides_of(options, "kernel_size")
    batch, height, width = size
    calls = {}
    for precision in options.precisions:
        args = (name, overrides, precision, size)
        for backend in options.backends:
            calls[f"srn_tf, {backend}", precision] = (backend, make_forward, *args)
    if options.peers:
        args = (name, overrides, "bfloat16", size)
        for kind in ("eager", "compiled"):
            call = ("torch", make_torch, *args, kind == "compiled")
            calls[f"PyTorch, {kind}", "bfloat16"] = call
    if options.peers and MODELS[name].channels != 3:
        left_out(("OpenVINO",), f"an export of {name} takes colour, three times the work")
    elif options.peers and exported(name, overrides, folder / name):
        args = (folder / name, "bfloat16", size)
        calls["OpenVINO", "bfloat16"] = ("openvino", make_openvino, *args)
    work = 2 * macs_a_pixel(name, **overrides) * batch * height * width
    sizes = {"model": name, **overrides, "batch": batch, "height": height, "width": width}
    return [sizes | row for row in compare(calls, work, options)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--models", nargs="+", default=["color"], choices=[*MODELS, "all"])
    parser.add_argument("--kernel_size", type=int, help="instead of the model's own")
    parser.add_argument(
        "--sizes",
        nargs="+",
        default=["256x256", "256x256x8", "1280x720"],
        help="WIDTHxHEIGHT, or WIDTHxHEIGHTxBATCH (default: 256x256 256x256x8 1280x720; 3840x2160"
        " takes a quarter of an hour on two cores without AMX)",
    )
    precisions = ("float32", "bfloat16")
    parser.add_argument("--precisions", nargs="+", default=precisions, choices=PRECISIONS)
    parser.add_argument(
        "--backends",
        nargs="+",
        default=["tensorflow"],
        choices=[*BACKENDS, "all"],
        help="of Keras (default: tensorflow)",
    )
    parser.add_argument(
        "--peers", action="store_true", help="also PyTorch and OpenVINO, in bfloat16"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds at most (default: 5)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=30,
        help="after three rounds of a size no further one after this long (default: 30)",
    )
    options = parser.parse_args()
    if "all" in options.backends:
        options.backends = list(filter(importlib.util.find_spec, BACKENDS))
    if options.peers and "bfloat16" not in options.precisions:
        parser.error("--peers compares in bfloat16: it must be one of --precisions")
    names = list(MODELS) if "all" in options.models else options.models
    sizes = {text: size_of(text) for text in options.sizes}
    for name in names:
        multiple = checked_config(parser, options, name).size_multiple
        for text, (_, height, width) in sizes.items():
            if height % multiple or width % multiple:
                parser.error(f"{text}: {name} needs multiples of {multiple}")
    os.environ.setdefault("KERAS_BACKEND", options.backends[0])
    without_gpu()
    rows, runs = [], [(name, text) for name in names for text in sizes]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in runs:
            print(f"\n{name}, forward pass, {text}", flush=True)
            rows += (new := measure_size(options, name, sizes[text], pathlib.Path(folder)))
            print(table(new, COLUMNS), flush=True)
            complete = (name, text) == runs[-1]
            write_results("network", options, rows, complete, MALLOC, matmul=MATMUL)


if __name__ == "__main__":
    main()
