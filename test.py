"""Deblurs pictures with a trained network; `python test.py --help`."""

import sys

from srn_tf.cli.test import main

if __name__ == "__main__":
    sys.exit(main())
