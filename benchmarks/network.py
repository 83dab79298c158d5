"""Seconds of a forward pass at 720x1280 in float32 and bfloat16, alternating in one run."""

import argparse

import numpy as np
from timing import measure, print_table

from srn_tf import create_model
from srn_tf.config import MODELS, PRECISIONS
from srn_tf.inference import Deblurrer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="color", choices=MODELS)
    parser.add_argument("--height", type=int, default=720, help="pixels (default: 720)")
    parser.add_argument("--width", type=int, default=1280, help="pixels (default: 1280)")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls each (default: 3)")
    options = parser.parse_args()
    shape = (options.height, options.width, 3)
    picture = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    calls = {}
    for precision in ("float32", "bfloat16"):
        deblurrer = Deblurrer(create_model(options.model, dtype=PRECISIONS[precision]))
        calls[precision] = lambda deblurrer=deblurrer: deblurrer.deblur(picture)
    title = f"{options.model}, forward pass, {options.width}x{options.height}"
    print_table(title, measure(calls, options.repeats))


if __name__ == "__main__":
    main()
