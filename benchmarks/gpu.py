"""Forward pass and training step on a GPU, on Keras' JAX or PyTorch: no TensorFlow is needed.

    KERAS_BACKEND=jax python benchmarks/gpu.py

First the float32 result is compared with the authors' numbers, on the device itself. Then, in each
precision: a large matmul, which is the ceiling; one picture of 1280x720; forward passes and
training steps on crops, over batch sizes, until one fails or the rate no longer grows. Work is
counted as two operations for each multiplication of a convolution, and a training step as three
forward passes. float32 is exact float32; tf32 multiplies float32 on tensor cores, as libraries do
by default.
"""

# ruff: noqa: E402 - paths and the backend are set before they are used

import gc
import importlib.util
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the package need not be installed, which would bring TensorFlow

from timing import SECONDS, arguments, measure, overrides_of, table, write_results

os.environ.setdefault("KERAS_BACKEND", "jax" if importlib.util.find_spec("jax") else "torch")
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.95")

import keras
import numpy as np
from backends import device, forward, matmul, training_step, use_precision

from srn_tf import create_model
from srn_tf.config import MODELS
from srn_tf.model_table import macs_a_pixel
from srn_tf.optimizer import learning_rate_schedule

COLUMNS = {
    "": "{what:8}",
    "precision": "{precision:9}",
    "size, batch": "{size:14}",
    "first s": "{first:6.3g}",
    **SECONDS,
    "pictures/s": "{pictures_per_second:8}",
    "TFLOP/s": "{tflops:7.2f}",
    "of matmul": "{of_matmul:.0%}",
}
PARITY = 1e-4  # of the largest output, in float32


def check_parity() -> float:
    """The largest error of the float32 result, as a part of the largest output."""
    sys.path.insert(0, str(ROOT / "tests"))
    from reference import golden

    use_precision("float32")
    model, reference = golden("color")
    outputs = [keras.ops.convert_to_numpy(output) for output in model(reference["x"])]
    return max(
        float(np.abs(output - expected).max() / np.abs(expected).max())
        for scale, output in enumerate(outputs)
        for expected in [reference[f"y{scale}"]]
    )


class Bench:
    """Rows of measurements, each beside the ceiling of its precision."""

    def __init__(self, options, parity: float):
        self.options, self.parity = options, parity
        self.rows, self.ceilings = [], {}
        overrides = overrides_of(options, "kernel_size", "blocks")
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
        schedule = learning_rate_schedule("exponential", 1e-4, 1e-6, 1000)
        shape = (2, batch, height, width, self.channels)
        pairs = np.random.default_rng(0).random(shape, dtype=np.float32)
        call = training_step(model, keras.optimizers.Adam(schedule), *pairs)
        return self._network_row("training", precision, batch, height, width, call, 3)

    def over_batches(self, kind, precision: str) -> None:
        """Until one fails, as for lack of memory, or two in a row have gained nothing."""
        side = self.options.crop_size
        rates = []
        for batch in self.options.batch_sizes:
            try:
                rates.append(kind(precision, batch, side, side)["pictures_per_second"])
            except Exception as error:
                if not rates:
                    raise
                # Libraries have many words for a lack of memory.
                print(f"batch {batch} failed: {repr(error)[:200]}", flush=True)
                gc.collect()
                break
            if len(rates) > 2 and max(rates[-2:]) < rates[-3]:
                break

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
        backend = keras.backend.backend()
        more = {"device": device(), "backend": backend, "model": self.options.model}
        write_results(f"gpu-{backend}", self.options, self.rows, **more, parity=self.parity)
        print(table([row], COLUMNS).splitlines()[2], flush=True)
        return row


def main() -> None:
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
        help="after two rounds no further one after this long (default: 3)",
    )
    parser.add_argument("--cpu", action="store_true", help="go on where there is no GPU")
    options = parser.parse_args()
    backend = keras.backend.backend()
    if backend not in ("jax", "torch"):
        parser.error(f"KERAS_BACKEND must be jax or torch, not {backend}")
    if device() == "cpu" and not options.cpu:
        parser.error(f"{backend} sees no GPU; --cpu measures the processor all the same")
    error = check_parity()
    print(f"{device()}, Keras on {backend}")
    print(f"float32 against the authors' numbers: {error:.1e} of the largest output")
    if error > PARITY:
        sys.exit(f"gpu.py: the network computes something else: {error:.1e} is above {PARITY:g}")
    bench = Bench(options, error)
    for precision in options.precisions:
        bench.matmul(precision)
        width, height = options.latency_size
        bench.forward(precision, 1, height, width)
        bench.over_batches(bench.forward, precision)
        bench.over_batches(bench.training, precision)
    print(f"\n{options.model}\n{table(bench.rows, COLUMNS)}")


if __name__ == "__main__":
    main()
