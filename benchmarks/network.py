"""Forward pass: seconds, TFLOP/s, percent of what a large matmul reaches, and peak memory.

All alternatives of a picture size take turns, each in a process of its own, and so does a matmul of
each precision, which is the ceiling. Two operations count for each multiplication of a convolution.
--peers puts the same network in plain PyTorch (eager and compiled) and in OpenVINO beside ours.
"""

import contextlib
import functools
import pathlib
import tempfile

from timing import SECONDS, Worker, arguments, installed, measure, table, write_results

from srn_tf.config import MODELS, PRECISIONS

MATMUL = 4096  # side of the matrices
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

    model = create_model(name, dtype=PRECISIONS[precision], **overrides)
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
    network = TorchNetwork(model, getattr(torch, precision)).eval()
    x = torch.tensor(pictures_of(size, model.config.channels)).permute(0, 3, 1, 2)
    if compiled:
        inductor.freezing = True
        network = torch.compile(network)
    return functools.partial(torch.no_grad()(network), x)


def write_openvino(name: str, overrides: dict, folder, size):
    """Exports the network; to be done in another process than the one that is measured."""
    from srn_tf import create_model
    from srn_tf.export import export

    batch, height, width = size
    # A fixed size is that of one picture.
    fixed = (height, width) if batch == 1 else None
    export(create_model(name, **overrides), folder, "openvino", size=fixed)
    return lambda: None


def make_openvino(folder, channels: int, precision: str, size):
    import openvino

    hint = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}[precision]
    hints = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    network = openvino.Core().compile_model(folder / "model.xml", "CPU", hints)
    pictures = pictures_of(size, channels)
    return lambda: network({"image": pictures})["restored"]


def macs_a_pixel(name: str, overrides: dict) -> float:
    """Multiplications of the network for each pixel of a picture."""
    from srn_tf.model_table import count_macs

    return count_macs(name, 16, 16, **overrides) / 16**2


def measure_size(options, name: str, size, folder: pathlib.Path) -> list[dict]:
    """The rows of one network at one size."""
    overrides = {"kernel_size": options.kernel_size} if options.kernel_size else {}
    with contextlib.ExitStack() as stack:

        def worker(*args, **environment):
            made = Worker(*args, environment=environment or {"KERAS_BACKEND": "tensorflow"})
            stack.callback(made.close)
            return made

        calls = {}
        for precision in options.precisions:
            calls["matmul", precision] = worker(make_matmul, precision)
            for backend in options.backends:
                args = (make_forward, name, overrides, precision, size)
                calls[f"srn_tf, {backend}", precision] = worker(*args, KERAS_BACKEND=backend)
            if options.peers and precision == "bfloat16":
                for kind in ("eager", "compiled"):
                    args = (make_torch, name, overrides, precision, size, kind == "compiled")
                    calls[f"PyTorch, {kind}", precision] = worker(*args, KERAS_BACKEND="torch")
                exported = folder / f"{name}-{'x'.join(map(str, size))}"
                Worker(write_openvino, name, overrides, exported, size).close()
                args = (make_openvino, exported, MODELS[name].channels, precision, size)
                calls["OpenVINO", precision] = worker(*args)
        timings = measure(calls, options.repeats, options.seconds)
        peaks = {key: call.peak_gb for key, call in calls.items()}
    batch, height, width = size
    work = 2 * macs_a_pixel(name, overrides) * batch * height * width
    ceilings = {
        precision: 2 * MATMUL**3 / timings["matmul", precision].median
        for precision in options.precisions
    }
    ours = timings[f"srn_tf, {options.backends[0]}", options.precisions[-1]].median
    rows = []
    for (what, precision), timing in timings.items():
        speed = ceilings[precision] if what == "matmul" else work / timing.median
        rows.append(
            {"model": name, "batch": batch, "height": height, "width": width, "what": what}
            | {"precision": precision, **timing.row(), "tflops": round(speed / 1e12, 3)}
            | {"of_matmul": round(speed / ceilings[precision], 3)}
            | {"peak_gb": round(peaks[what, precision], 2)}
            | ({} if what == "matmul" else {"ratio": round(timing.median / ours, 3)})
        )
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--models", nargs="+", default=["color"], choices=[*MODELS, "all"])
    parser.add_argument("--kernel_size", type=int, help="instead of the model's own")
    parser.add_argument(
        "--sizes",
        nargs="+",
        default=["256x256", "256x256x8", "1280x720", "3840x2160"],
        help="WIDTHxHEIGHT, or WIDTHxHEIGHTxBATCH (default: 256x256 256x256x8 1280x720 3840x2160)",
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
    parser.add_argument("--peers", action="store_true", help="also PyTorch and OpenVINO, bfloat16")
    parser.add_argument("--repeats", type=int, default=5, help="rounds at most (default: 5)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=30,
        help="no new round of a size after this long (default: 30)",
    )
    options = parser.parse_args()
    if "all" in options.backends:
        options.backends = [backend for backend in BACKENDS if installed(backend)]
    names = MODELS if "all" in options.models else options.models
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for text in options.sizes:
                print(f"\n{name}, forward pass, {text}", flush=True)
                rows += (new := measure_size(options, name, size_of(text), pathlib.Path(folder)))
                print(table(new, COLUMNS), flush=True)
    write_results("network", options, rows)


if __name__ == "__main__":
    main()
