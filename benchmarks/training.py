"""Seconds of a training step in float32 and bfloat16, alternating in one run, and peak memory."""

import argparse
import resource

import numpy as np
import tensorflow as tf
from timing import measure, print_table

from srn_tf.config import MODELS, PRECISIONS, TrainingConfig
from srn_tf.networks import create_model_from_config
from srn_tf.training import Trainer, create_optimizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="color", choices=MODELS)
    parser.add_argument("--batch_size", type=int, default=4, help="crops a step (default: 4)")
    parser.add_argument("--crop_size", type=int, default=256, help="pixels (default: 256)")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps each (default: 5)")
    parser.add_argument("--accumulate", type=int, default=1, help="parts of a batch (default: 1)")
    parser.add_argument("--xla", action="store_true", help="compile with XLA")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=["float32", "bfloat16"],
        choices=PRECISIONS,
        help="what to compute in (default: float32 bfloat16); one alone, to see its memory",
    )
    options = parser.parse_args()
    network = MODELS[options.model]
    shape = (options.batch_size, options.crop_size, options.crop_size, network.channels)
    blurred, sharp = tf.constant(np.random.default_rng(0).random((2, *shape)), tf.float32)
    calls = {}
    for precision in options.precision:
        config = TrainingConfig(options.model, network, sharp_path="none", precision=precision)
        model = create_model_from_config(network, dtype=PRECISIONS[precision])
        optimizer = create_optimizer(config, max_steps=1000)
        trainer = Trainer(model, optimizer, accumulate=options.accumulate, xla=options.xla)
        calls[precision] = lambda trainer=trainer: float(trainer.step(blurred, sharp)["loss"])
    size = f"{options.batch_size} crops of {options.crop_size}x{options.crop_size}"
    print_table(f"{options.model}, training step, {size}", measure(calls, options.repeats))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory of the process: {peak / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
