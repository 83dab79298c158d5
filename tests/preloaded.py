"""What takes seconds to import: all processes of the tests begin with it."""

from srn_tf.cli.command import import_tensorflow

import_tensorflow()

import cv2  # noqa: E402, F401
import skimage.metrics  # noqa: E402, F401
