"""Reading and writing pictures: RGB, uint8, [height, width, 3]."""

import pathlib

import cv2
import numpy as np
from PIL import Image

from srn_tf.files import atomic_file

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")

# The luma of the paper and of the authors' data: ITU-R BT.601, as MATLAB's rgb2gray.
LUMA = (0.2989, 0.5870, 0.1140)


def read_image(path) -> np.ndarray:
    """A picture as uint8 RGB [height, width, 3]; gray pictures are repeated, alpha is dropped.

    Raises:
        ValueError: if the file is not a whole picture that can be read.
        OSError: if it cannot be opened.
    """
    encoded = np.fromfile(path, np.uint8)
    if encoded.size == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ValueError(f"{path}: not a picture that can be read ({error.err})") from None
    if pixels is None:
        raise ValueError(f"{path}: not a picture that can be read")
    return pixels


def write_image(path, image: np.ndarray) -> None:
    """Writes uint8 RGB [height, width, 3] in the format of the extension; whole or not at all.

    Raises:
        ValueError: for an extension that cannot be written, or a picture too large for it.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in EXTENSIONS:
        raise ValueError(f"{path}: the extension must be one of {', '.join(EXTENSIONS)}")
    try:
        written, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        written = False
    if not written:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise ValueError(f"{path}: a picture of {size} cannot be written in this format")
    with atomic_file(path) as temporary:
        encoded.tofile(temporary)


def image_size(path) -> tuple[int, int]:
    """(height, width) from the header alone.

    Raises:
        ValueError: if the file has no readable header.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # nothing is decoded here
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError as error:
        raise ValueError(f"{path}: not a picture that can be read ({error})") from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def find_images(folder) -> list[pathlib.Path]:
    """The pictures directly in a folder, by name; hidden files are left out.

    Raises:
        ValueError: if there is no such folder, or no picture in it.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
    )
    if not paths:
        raise ValueError(f"{folder}: no pictures in this folder ({', '.join(EXTENSIONS)})")
    return paths
