"""Forward pass on the processor: seconds, TFLOP/s, percent of a large matmul, and peak memory.

All alternatives of a picture size take turns, each in a process of its own, and so do matmuls of
each precision, in those of TensorFlow and PyTorch that are installed: the faster is what the others
are compared with. Two operations count for each multiplication of a convolution.
--peers puts the same network in plain PyTorch (eager and compiled) and in OpenVINO beside ours.
"""

import functools
import importlib.util
import os
import pathlib
import tempfile

from lib.compare import COLUMNS, MALLOC, MATMUL, compare, left_out
from lib.results import arguments, table, write_results
from lib.timing import Worker, checked_config, cores, overrides_of, without_gpu

from srn_tf.networks.configs import MODELS
from srn_tf.options import PRECISIONS

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
    from lib.backends import forward

    from srn_tf import create_model

    model = create_model(name, dtype=precision, **overrides)
    # Biases of zero would be left out, and what is merged with them computed apart.
    for variable in model.trainable_variables:
        if variable.path.endswith("bias"):
            variable.assign([0.01] * variable.shape[0])
    return forward(model, pictures_of(size, model.config.channels))


def make_torch(name: str, overrides: dict, precision: str, size, compiled: bool):
    """The same network in plain PyTorch; compiled with its weights as constants."""
    import torch
    from lib.torch_network import TorchNetwork
    from torch._inductor import config as inductor

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
    parser.add_argument(
        "--matmul", type=int, default=MATMUL, help=f"side of the matrices (default: {MATMUL})"
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
            write_results("network", options, rows, complete, MALLOC, matmul=options.matmul)


if __name__ == "__main__":
    main()
