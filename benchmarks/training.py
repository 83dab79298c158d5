"""Seconds of a training step in float32 and bfloat16, alternating in one run."""

import argparse

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
    options = parser.parse_args()
    network = MODELS[options.model]
    shape = (options.batch_size, options.crop_size, options.crop_size, network.channels)
    blurred, sharp = tf.constant(np.random.default_rng(0).random((2, *shape)), tf.float32)
    calls = {}
    for precision in ("float32", "bfloat16"):
        config = TrainingConfig(options.model, network, sharp_path="none", precision=precision)
        model = create_model_from_config(network, dtype=PRECISIONS[precision])
        trainer = Trainer(model, create_optimizer(config, max_steps=1000))
        calls[precision] = lambda trainer=trainer: float(trainer.step(blurred, sharp))
    size = f"{options.batch_size} crops of {options.crop_size}x{options.crop_size}"
    print_table(f"{options.model}, training step, {size}", measure(calls, options.repeats))


if __name__ == "__main__":
    main()
