"""Forward pass and training step on a GPU, on Keras' JAX or PyTorch: no TensorFlow is needed.

    KERAS_BACKEND=jax python benchmarks/gpu.py

First float32 results are compared with the authors' numbers, on the device itself: the outputs of
the compiled network, and the losses of eight compiled training steps. Then, in each precision: a
large matmul, which is the ceiling; one picture of 1280x720; forward passes and training steps on
crops, over batch sizes, until memory is short or the rate no longer grows. The best batch is
marked. Work is counted as two operations for each multiplication of a convolution, and a training
step as three forward passes. float32 is exact float32; tf32 multiplies float32 on tensor cores, as
libraries do by default. (On PyTorch, Keras turns the inputs of each convolution to that library's
layout: JAX shows what the network can do.)
"""

# ruff: noqa: E402 - paths and the backend are set before they are used

import argparse
import gc
import importlib.util
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package need not be installed, which would bring TensorFlow

from lib.results import SECONDS, arguments, table, write_results
from lib.timing import checked_config, measure, overrides_of

os.environ.setdefault("KERAS_BACKEND", "jax" if importlib.util.find_spec("jax") else "torch")
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.95")

import keras
import numpy as np
from lib.backends import device, forward, matmul, training_step, use_precision

from srn_tf import create_model
from srn_tf.networks.configs import MODELS
from srn_tf.networks.macs import macs_a_pixel
from srn_tf.training.optimizer import Schedule

COLUMNS = {
    "": "{what:8}",
    "precision": "{precision:9}",
    "size, batch": "{size:14}",
    "first s": "{first:6.3g}",
    **SECONDS,
    "pictures/s": "{pictures_per_second:8}",
    "TFLOP/s": "{tflops:7.2f}",
    "of matmul": "{of_matmul:.0%}",
    "note": "{note}",
}
PARITY = 1e-4  # of the largest output, and of each loss, in float32
# Libraries have several words for it.
_NO_MEMORY = re.compile(r"RESOURCE_EXHAUSTED|out of memory|OutOfMemory", re.IGNORECASE)


def check_parity() -> dict[str, float]:
    """The largest errors in float32: of the outputs as a part of the largest, of each loss."""
    sys.path.insert(0, str(ROOT / "tests"))
    from reference import golden

    use_precision("float32")
    model, reference = golden("color")
    outputs = map(keras.ops.convert_to_numpy, forward(model, reference["x"])())
    expected = [reference[f"y{scale}"] for scale in range(3)]
    forward_error = [
        np.abs(output - right).max() / np.abs(right).max()
        for output, right in zip(outputs, expected, strict=True)
    ]
    schedule = Schedule("polynomial", 1e-4, 0.0, 20)
    pairs = reference["train_blurred"], reference["train_sharp"]
    step = training_step(model, keras.optimizers.Adam(schedule, epsilon=1e-8), *pairs)
    right = reference["train_loss"]
    losses = np.array([float(step()) for _ in right])
    return {
        "parity": float(np.max(forward_error)),
        "parity_of_losses": float(np.max(np.abs(losses / right - 1))),
    }


class Bench:
    """Rows of measurements, each beside the ceiling of its precision."""

    def __init__(self, options, parity: dict[str, float]):
        self.options = options
        self.rows, self.ceilings = [], {}
        overrides = overrides_of(options, "kernel_size", "blocks")
        backend = keras.backend.backend()
        self.about = {"device": device(), "backend": backend, "model": options.model}
        self.about |= overrides | parity
        self.create_model = lambda policy: create_model(options.model, dtype=policy, **overrides)
        self.channels = MODELS[options.model].channels
        self.macs_a_pixel = macs_a_pixel(options.model, **overrides)

    def matmul(self, precision: str) -> None:
        use_precision(precision)
        side = self.options.matmul
        call = matmul(side, "bfloat16" if precision == "bfloat16" else "float32")
        self._row("matmul", precision, {"size": str(side)}, call, 2 * side**3)

    def forward(self, precision: str, batch: int, height: int, width: int) -> dict:
        model = self.create_model(use_precision(precision).removeprefix("mixed_"))
        shape = (batch, height, width, self.channels)
        call = forward(model, np.random.default_rng(0).random(shape, dtype=np.float32))
        return self._network_row("forward", precision, batch, height, width, call, 1)

    def training(self, precision: str, batch: int, height: int, width: int) -> dict:
        model = self.create_model(use_precision(precision))
        schedule = Schedule("exponential", 1e-4, 1e-6, 1000)
        shape = (2, batch, height, width, self.channels)
        pairs = np.random.default_rng(0).random(shape, dtype=np.float32)
        call = training_step(model, keras.optimizers.Adam(schedule), *pairs)
        return self._network_row("training", precision, batch, height, width, call, 3)

    def over_batches(self, kind, precision: str) -> None:
        """Until memory is short, or two in a row have gained nothing."""
        side, rows = self.options.crop_size, []
        for batch in self.options.batch_sizes:
            try:
                rows.append(kind(precision, batch, side, side))
            except Exception as error:
                if not rows or not _NO_MEMORY.search(repr(error)):
                    raise
                rows[-1]["note"] = f"batch {batch}: not enough memory"
            else:
                rates = [row["pictures_per_second"] for row in rows]
                if len(rates) < 3 or max(rates[-2:]) >= rates[-3]:
                    continue
            break
        gc.collect()  # here, where the error no longer holds what it could not use
        best = max(rows, key=lambda row: row["pictures_per_second"])
        best["note"] = "; ".join(filter(None, ["best", best.get("note")]))

    def _network_row(self, what, precision, batch, height, width, call, passes) -> dict:
        work = passes * 2 * self.macs_a_pixel * batch * height * width
        sizes = {"batch": batch, "height": height, "width": width}
        sizes["size"] = f"{width}x{height}, {batch}"
        return self._row(what, precision, sizes, call, work)

    def _row(self, what: str, precision: str, sizes: dict, call, work: float) -> dict:
        (timing,) = measure({what: call}, self.options.repeats, self.options.seconds).values()
        speed = work / timing.median
        if what == "matmul":
            self.ceilings[precision] = speed
        row = {"what": what, "precision": precision, **sizes, **timing.row()}
        row |= {"tflops": round(speed / 1e12, 3)}
        if "batch" in sizes:
            row["pictures_per_second"] = round(sizes["batch"] / timing.median, 2)
        row |= {"of_matmul": round(speed / self.ceilings[precision], 3)}
        self.rows.append(row)
        self.write(complete=False)
        print(table([row], COLUMNS).splitlines()[2], flush=True)
        return row

    def write(self, complete: bool) -> None:
        name = f"gpu-{self.about['backend']}"
        write_results(name, self.options, self.rows, complete, **self.about)


def flags() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="color", choices=MODELS)
    parser.add_argument("--kernel_size", type=int, help="instead of the model's own")
    parser.add_argument("--blocks", type=int, help="instead of the model's own")
    parser.add_argument(
        "--precisions",
        nargs="+",
        default=["float32", "tf32", "bfloat16"],
        choices=["float32", "tf32", "bfloat16"],
    )
    parser.add_argument(
        "--latency_size",
        nargs=2,
        type=int,
        default=[1280, 720],
        metavar=("WIDTH", "HEIGHT"),
        help="of the one picture, in pixels (default: 1280 720)",
    )
    parser.add_argument("--crop_size", type=int, default=256, help="pixels (default: 256)")
    batches = [1, 4, 16, 64, 256]
    parser.add_argument(
        "--batch_sizes", nargs="+", type=int, default=batches, help="(default: 1 4 16 64 256)"
    )
    parser.add_argument("--matmul", type=int, default=16384, help="side (default: 16384)")
    parser.add_argument("--repeats", type=int, default=20, help="rounds at most (default: 20)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=3,
        help="after three rounds no further one after this long (default: 3)",
    )
    parser.add_argument(
        "--cpu", action="store_true", help="go on where there is no GPU; with --output"
    )
    return parser


def main() -> None:
    parser = flags()
    options = parser.parse_args()
    backend = keras.backend.backend()
    if backend not in ("jax", "torch"):
        parser.error(f"KERAS_BACKEND must be jax or torch, not {backend}")
    if device() == "cpu" and not options.cpu:
        parser.error(f"{backend} sees no GPU; --cpu measures the processor all the same")
    if options.cpu and not options.output:
        parser.error("--cpu needs --output: results/ is for figures of GPUs")
    multiple = checked_config(parser, options, options.model).size_multiple
    for side in (*options.latency_size, options.crop_size):
        if side % multiple:
            parser.error(f"{side}: {options.model} needs multiples of {multiple}")
    parity = check_parity()
    print(f"{device()}, Keras on {backend}")
    for what, error in zip(("outputs", "losses"), parity.values(), strict=True):
        print(f"float32 against the authors' {what}: an error of {error:.1e}")
        if not error <= PARITY:  # nan, too
            sys.exit(f"gpu.py: the network computes something else: not within {PARITY:g}")
    bench = Bench(options, parity)
    for precision in options.precisions:
        bench.matmul(precision)
        width, height = options.latency_size
        bench.forward(precision, 1, height, width)
        bench.over_batches(bench.forward, precision)
        bench.over_batches(bench.training, precision)
    bench.write(complete=True)
    print(f"\n{options.model}\n{table(bench.rows, COLUMNS)}")


if __name__ == "__main__":
    main()
