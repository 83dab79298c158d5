"""Files of pictures: which there are, and their pixels as OpenCV gives them."""

import os
import pathlib

import cv2
import numpy as np

from srn_tf import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def find_images(folder, recursive: bool = False) -> list[pathlib.Path]:
    """The pictures in a folder, by name; hidden files and folders are left out.

    Args:
        folder: where to look.
        recursive: whether to look into its folders, too.

    Raises:
        UserError: if there is no such folder, or no picture in it.
        OSError: if a folder cannot be read.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")

    def refuse(error):
        raise error

    paths, seen = [], set()
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        # A link may lead back to a folder above it.
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        paths += [pathlib.Path(place, name) for name in files if not name.startswith(".")]
    # A broken link stays, to be named when it is read; a pipe would be waited for.
    paths = sorted(
        path
        for path in paths
        if path.suffix.lower() in EXTENSIONS and (path.is_file() or not path.exists())
    )
    if not paths:
        raise UserError(f"{folder}: no pictures in this folder ({', '.join(EXTENSIONS)})")
    return paths


def read_bytes(path) -> bytes:
    """The content of a file.

    Raises:
        UserError: if it is empty.
        OSError: if it cannot be opened.
    """
    encoded = pathlib.Path(path).read_bytes()
    if not encoded:
        raise UserError(f"{path}: the file is empty")
    return encoded


def decode(path, encoded: bytes, flags: int) -> np.ndarray:
    """What `cv2.imdecode` gives.

    Raises:
        UserError: naming `path`, if it is not a whole picture that can be read.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error as error:
        raise UserError(f"{path}: not a picture that can be read ({error.err})") from None
    if pixels is None:
        raise UserError(f"{path}: not a picture that can be read")
    return pixels
