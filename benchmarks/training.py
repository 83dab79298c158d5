"""A training step on the processor: seconds, TFLOP/s, percent of a large matmul, peak memory.

The step is the whole one: pyramid, forward, loss, gradients, Adam. All alternatives of a batch take
turns, each in a process of its own. Work is counted as three forward passes. --peers puts the same
step in plain PyTorch, compiled and eager, beside ours.
"""

import importlib.util
import itertools
import os

from lib.compare import COLUMNS, MALLOC, MATMUL, compare
from lib.results import arguments, table, write_results
from lib.timing import checked_config, cores, overrides_of, without_gpu

from srn_tf.data.config import DataConfig
from srn_tf.networks.configs import MODELS, model_config
from srn_tf.options import PRECISIONS
from srn_tf.training.config import TrainingConfig

BACKENDS = ("tensorflow", "jax", "torch")


def pairs_of(batch: int, side: int, channels: int):
    import numpy as np

    return np.random.default_rng(0).random((2, batch, side, side, channels), dtype=np.float32)


def make_step(name: str, overrides: dict, precision: str, batch: int, side: int, options):
    """The step of `srn_tf.training.tensorflow_trainer`."""
    import tensorflow as tf

    from srn_tf.networks.create import create_model_from_config
    from srn_tf.training.optimizer import create_optimizer
    from srn_tf.training.tensorflow_trainer import Trainer

    network = model_config(name, **overrides)
    data = DataConfig(sharp_path="unused")
    config = TrainingConfig(name, network, data, precision=precision)
    model = create_model_from_config(network, dtype=PRECISIONS[precision])
    optimizer = create_optimizer(config, max_steps=1000)
    trainer = Trainer(model, optimizer, accumulate=options.accumulate, xla=options.xla)
    blurred, sharp = map(tf.constant, pairs_of(batch, side, network.channels))
    return lambda: float(trainer.step(blurred, sharp)["loss"])


def make_backend_step(name: str, overrides: dict, precision: str, batch: int, side: int):
    """The same on Keras' JAX or PyTorch."""
    import keras
    from lib.backends import training_step

    from srn_tf import create_model

    model = create_model(name, dtype=PRECISIONS[precision], **overrides)
    pairs = pairs_of(batch, side, model.config.channels)
    return training_step(model, keras.optimizers.Adam(1e-4), *pairs)


def make_torch_step(name: str, overrides: dict, precision: str, batch: int, side: int, compiled):
    """The same in plain PyTorch: Adam in its fused form, forward and loss compiled as one."""
    import torch
    from lib.torch_network import TorchNetwork

    from srn_tf import create_model

    model = create_model(name, **overrides)
    torch.set_num_threads(cores())
    network = TorchNetwork(model, getattr(torch, precision), training=True)
    adam = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    scales = model.config.scales

    def loss_of(blurred, sharp):
        targets = [sharp[:, :, :: 2**i, :: 2**i] for i in reversed(range(scales))]
        outputs = network(blurred)
        return sum((o - t).square().mean() for o, t in zip(outputs, targets, strict=True))

    if compiled:
        loss_of = torch.compile(loss_of)
    pairs = torch.tensor(pairs_of(batch, side, model.config.channels)).permute(0, 1, 4, 2, 3)

    def step():
        adam.zero_grad()
        loss = loss_of(*pairs)
        loss.backward()
        adam.step()
        return loss.item()

    return step


def measure_batch(options, name: str, batch: int) -> list[dict]:
    """The rows of one network and batch size."""
    # As in network.py: not in the processes of the alternatives.
    from srn_tf.networks.macs import macs_a_pixel

    side = options.crop_size
    overrides = overrides_of(options, "kernel_size", "blocks")
    calls = {}
    for precision in options.precisions:
        args = (name, overrides, precision, batch, side)
        for backend in options.backends:
            make = (make_backend_step, *args)
            if backend == "tensorflow":
                make = (make_step, *args, options)
            calls[f"srn_tf, {backend}", precision] = (backend, *make)
    if options.peers:
        args = (name, overrides, "bfloat16", batch, side)
        for kind in ("eager", "compiled"):
            call = ("torch", make_torch_step, *args, kind == "compiled")
            calls[f"PyTorch, {kind}", "bfloat16"] = call
    work = 3 * 2 * macs_a_pixel(name, **overrides) * batch * side**2
    rows = compare(calls, work, options)
    for row in rows:
        row |= {"model": name, **overrides, "batch": batch, "crop_size": side}
        if "ratio" in row:
            row["pairs_per_second"] = round(batch / row["median"], 2)
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--models", nargs="+", default=["color"], choices=MODELS)
    parser.add_argument("--kernel_size", type=int, help="instead of the model's own")
    parser.add_argument("--blocks", type=int, help="instead of the model's own")
    parser.add_argument(
        "--batch_sizes", nargs="+", type=int, default=[4, 16], help="(default: 4 16)"
    )
    parser.add_argument("--crop_size", type=int, default=256, help="pixels (default: 256)")
    precisions = ("float32", "bfloat16")
    parser.add_argument("--precisions", nargs="+", default=precisions, choices=PRECISIONS)
    parser.add_argument(
        "--backends",
        nargs="+",
        default=["tensorflow"],
        choices=[*BACKENDS, "all"],
        help="of Keras (default: tensorflow)",
    )
    parser.add_argument("--accumulate", type=int, default=1, help="parts of a batch (default: 1)")
    parser.add_argument("--xla", action="store_true", help="compile ours with XLA")
    parser.add_argument("--peers", action="store_true", help="also PyTorch, bfloat16")
    parser.add_argument(
        "--matmul", type=int, default=MATMUL, help=f"side of the matrices (default: {MATMUL})"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds at most (default: 5)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60,
        help="after three rounds no further one after this long (default: 60)",
    )
    options = parser.parse_args()
    if options.peers and "bfloat16" not in options.precisions:
        parser.error("--peers compares in bfloat16: it must be one of --precisions")
    if (options.accumulate != 1 or options.xla) and options.backends != ["tensorflow"]:
        parser.error("--accumulate and --xla are for the backend tensorflow alone")
    if "all" in options.backends:
        options.backends = list(filter(importlib.util.find_spec, BACKENDS))
    for name in options.models:
        multiple = checked_config(parser, options, name).size_multiple
        if options.crop_size % multiple:
            parser.error(f"--crop_size {options.crop_size}: {name} needs a multiple of {multiple}")
    os.environ.setdefault("KERAS_BACKEND", options.backends[0])
    without_gpu()
    rows = []
    runs = list(itertools.product(options.models, options.batch_sizes))
    for name, batch in runs:
        size = f"{options.crop_size}x{options.crop_size}"
        print(f"\n{name}, training step, {batch} crops of {size}", flush=True)
        rows += (new := measure_batch(options, name, batch))
        print(table(new, COLUMNS | {"pairs/s": "{pairs_per_second:.1f}"}), flush=True)
        complete = (name, batch) == runs[-1]
        write_results("training", options, rows, complete, MALLOC, matmul=options.matmul)


if __name__ == "__main__":
    main()
