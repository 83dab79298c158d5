"""Pictures as training needs them: uint8 RGB [height, width, 3], turned as their EXIF says.

`images.picture` has all that a photographer wants back.
"""

import pathlib

import cv2
import numpy as np

from srn_tf import UserError
from srn_tf.atomic import atomic_file
from srn_tf.images.files import EXTENSIONS, decode, read_bytes
from srn_tf.images.picture import to_8_bit
from srn_tf.images.read import read_picture

# The luma of the paper and of the authors' data: ITU-R BT.601, as MATLAB's rgb2gray.
LUMA = (0.2989, 0.5870, 0.1140)


def read_image(path) -> np.ndarray:
    """A picture as uint8 RGB [height, width, 3]; gray pictures are repeated, alpha is dropped.

    Raises:
        UserError: if the file is not a whole picture that can be read.
        OSError: if it cannot be opened.
    """
    return decode(path, read_bytes(path), cv2.IMREAD_COLOR_RGB)


def write_image(path, image: np.ndarray) -> None:
    """Writes uint8 RGB [height, width, 3] in the format of the extension; whole or not at all.

    Raises:
        UserError: for an extension that cannot be written, or a picture too large for it.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in EXTENSIONS:
        raise UserError(f"{path}: the extension must be one of {', '.join(EXTENSIONS)}")
    try:
        written, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        written = False
    if not written:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise UserError(f"{path}: a picture of {size} cannot be written in this format")
    with atomic_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def read_rgb(path) -> np.ndarray:
    """A picture to look at and to score, of whatever kind: uint8 RGB [height, width, 3].

    Raises:
        UserError, OSError: as `read_picture`; no size is too large.
    """
    pixels = to_8_bit(read_picture(path, max_megapixels=np.inf).pixels)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colors = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., [0, 0, 0]]
    return np.ascontiguousarray(colors)
