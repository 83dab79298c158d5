"""Trains a deblurring network; `python train.py --help`."""

import sys

from srn_tf.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
