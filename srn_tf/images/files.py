"""Files of pictures: which there are, and their bytes."""

import collections
import functools
import importlib.util
import logging
import os
import pathlib
import stat

from PIL import features

from srn_tf import UserError

_HEIF = dict.fromkeys((".heic", ".heif", ".hif"), "HEIF")
_HEIF_IS_THERE = importlib.util.find_spec("pillow_heif") is not None
# Extension -> format.
FORMATS = {
    ".png": "PNG",
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    ".bmp": "BMP",
    ".webp": "WEBP",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **({".avif": "AVIF"} if features.check("avif") else {}),
    **(_HEIF if _HEIF_IS_THERE else {}),
}
EXTENSIONS = tuple(FORMATS)
# Extensions of pictures that cannot be read: those of cameras' raw files, and others.
_OTHERS = {
    *(*_HEIF, ".avif", ".gif", ".jxl", ".jp2", ".psd", ".exr", ".hdr", ".tga", ".ppm"),
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".gpr", ".iiq", ".kdc"),
    *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"),
    *(".sr2", ".srf", ".srw", ".x3f"),
} - {*FORMATS}


def find_images(folder, recursive: bool = False) -> list[pathlib.Path]:
    """The pictures in a folder, by name; hidden files and folders are left out.

    Pictures of kinds that cannot be read are left out, too: a line of the log counts them.

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
    paths = pictures_among(paths, folder)
    if not paths:
        raise UserError(f"{folder}: no pictures in this folder ({', '.join(EXTENSIONS)})")
    return paths


def pictures_among(paths, where) -> list[pathlib.Path]:
    """Those of some paths that can be read by their extension, by name; `where` they were found.

    Pictures of other kinds are counted in a line of the log.
    """
    others = collections.Counter(p.suffix.lower()[1:] for p in paths if p.suffix.lower() in _OTHERS)
    if others:
        _tell(where, ", ".join(f"{n} {name}" for name, n in sorted(others.items())))
    # A broken link stays, to be named when it is read; a pipe would be waited for.
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in EXTENSIONS and (path.is_file() or not path.exists())
    )


@functools.lru_cache(1000)
def _tell(where, others: str) -> None:
    hint = " (heic, heif: pip install pillow-heif)" if "hei" in others else ""
    line = "%s: pictures left out, as their kinds cannot be read: %s%s"
    logging.getLogger("srn_tf").warning(line, where, others, hint)


def format_of(path) -> str:
    """The format that an extension stands for, such as "JPEG".

    Raises:
        UserError: if it stands for none that can be read and written.
    """
    extension = pathlib.Path(path).suffix.lower()
    if extension in _HEIF and not _HEIF_IS_THERE:
        raise UserError(f"{path}: HEIF needs pillow-heif (pip install pillow-heif)")
    if extension not in FORMATS:
        raise UserError(f"{path}: the extension must be one of {', '.join(EXTENSIONS)}")
    return FORMATS[extension]


def require_whole(path) -> None:
    """Refuses what is no file, such as a pipe, which would be waited for, and an empty one.

    Raises:
        UserError: naming it.
        OSError: if there is none.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: is not a file")
    if not status.st_size:
        raise UserError(f"{path}: the file is empty")


def read_bytes(path) -> bytes:
    """The content of a file.

    Raises:
        UserError: if it is empty, or no file.
        OSError: if it cannot be opened.
    """
    require_whole(path)
    return pathlib.Path(path).read_bytes()
