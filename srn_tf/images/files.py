"""Files of pictures: which there are, lists of them, and their pixels as OpenCV gives them."""

import codecs
import os
import pathlib
import unicodedata

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


# How the content of a picture begins.
_SIGNATURES = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


def extension_of(content: bytes) -> str:
    """The extension that fits the content of a picture.

    Raises:
        UserError: if it is none.
    """
    for signature, extension in _SIGNATURES.items():
        if content.startswith(signature):
            return extension
    raise UserError("standard input: not a picture that can be read (of no known kind)")


def read_lines(path, errors: str = "strict") -> list[str]:
    """The lines of a list, in UTF-8 with or without its mark.

    Args:
        path: of the list.
        errors: what becomes of bytes that are not UTF-8, as `bytes.decode` takes it.

    Raises:
        UserError: if it cannot be read, or is in another encoding.
    """
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read as a list ({error.strerror})") from None
    marks = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
    if content.startswith(marks) or 3 * content[:999].count(0) > len(content[:999]):
        raise UserError(f"{path}: is in UTF-16, or no text; a list must be in UTF-8")
    try:
        lines = content.decode("utf-8-sig", errors).split("\n")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{number}: is not UTF-8, which a list must be in") from None
    return [line.removesuffix("\r") for line in lines]


def from_list(text: str) -> str:
    """The path that a list in UTF-8 means, whatever encoding Python takes names to be in."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def for_list(path) -> str:
    """A path as a list in UTF-8 has it.

    Raises:
        UnicodeDecodeError: if its name is not UTF-8.
    """
    return os.fsencode(path).decode("utf-8")


def as_stored(path) -> pathlib.Path:
    """The file that a path means: `ä` may be one character or two, and slashes may be backslashes.

    macOS takes names apart (NFD) where others keep them composed (NFC), and Windows writes lists
    with backslashes. A path for which there is no such file stays as it is.
    """
    path = pathlib.Path(path)
    if os.path.lexists(path):
        return path
    for candidate in (path, pathlib.Path(str(path).replace("\\", "/"))):
        found = pathlib.Path(candidate.anchor)
        for part in candidate.relative_to(found).parts:
            if not os.path.lexists(found / part):
                part = _composed(found).get(unicodedata.normalize("NFC", part), part)
            found /= part
        if os.path.lexists(found):
            return found
    return path


def _composed(folder) -> dict[str, str]:
    """The names in a folder, by their composed form; none if it cannot be read."""
    try:
        return {unicodedata.normalize("NFC", name): name for name in os.listdir(folder)}
    except OSError:
        return {}


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
