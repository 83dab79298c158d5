"""What takes seconds to import: all processes of the tests begin with it."""

from srn_tf.cli.command import import_tensorflow

import_tensorflow()

import cv2  # noqa: E402, F401
from skimage.metrics import structural_similarity  # noqa: E402, F401 - its imports wait for a use

import srn_tf.restoration.folder  # noqa: E402
import srn_tf.training.loop  # noqa: E402, F401
