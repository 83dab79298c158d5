"""Pictures as training needs them: uint8 RGB [height, width, 3], turned as their EXIF says.

`images.picture` has all that a photographer wants back.
"""

import functools
import logging
import pathlib

import cv2
import numpy as np

from srn_tf import UserError
from srn_tf.atomic import atomic_file
from srn_tf.images.files import format_of, read_bytes
from srn_tf.images.metadata import turn
from srn_tf.images.picture import to_8_bit
from srn_tf.images.read import decode, identify

# The luma of the paper and of the authors' data: ITU-R BT.601, as MATLAB's rgb2gray.
LUMA = (0.2989, 0.5870, 0.1140)


def read_rgb(path) -> np.ndarray:
    """A picture to train with, to look at and to score: uint8 RGB [height, width, 3].

    Gray pictures are repeated, alpha is dropped, 16 bits are rounded. Where parts are missing, a
    line of the log says so.

    Raises:
        UserError, OSError: as `read_picture`; no size is too large.
    """
    path, data = pathlib.Path(path), read_bytes(path)
    kind = identify(path, data)
    pixels, damage = decode(path, kind, data)
    if damage:
        _tell(f"{path}: parts of it are missing or damaged ({damage})")
    pixels = to_8_bit(pixels)
    return turn(pixels[..., :3] if kind.channels > 2 else pixels[..., [0, 0, 0]], kind.orientation)


@functools.lru_cache(1000)
def _tell(line: str) -> None:
    logging.getLogger("srn_tf").warning("%s", line)


def write_image(path, image: np.ndarray) -> None:
    """Writes uint8 RGB [height, width, 3] in the format of the extension; whole or not at all.

    Raises:
        UserError: for an extension that cannot be written, or a picture too large for it.
    """
    path = pathlib.Path(path)
    extension = {"JPEG": ".jpg", "TIFF": ".tif"}.get(format_of(path), path.suffix)
    try:
        written, encoded = cv2.imencode(extension, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        written = False
    if not written:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise UserError(f"{path}: a picture of {size} cannot be written in this format")
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
