"""Files of pictures: which there are, lists of them, and their bytes."""

import codecs
import collections
import functools
import importlib.util
import logging
import os
import pathlib
import stat
import unicodedata

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


def format_of_content(data) -> str | None:
    """The format that a file begins as, also one that cannot be read; None if it is unknown."""
    start = bytes(data[:64])
    if start[4:8] == b"ftyp":
        brands = start[8 : int.from_bytes(start[:4], "big")]
        return "AVIF" if b"avif" in brands or b"avis" in brands else "HEIF"
    beginnings = {
        b"\x89PNG\r\n\x1a\n": "PNG",
        b"\xff\xd8\xff": "JPEG",
        b"BM": "BMP",
        **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
        b"GIF8": "GIF",
        b"8BPS": "PSD",
        b"%PDF": "PDF",
    }
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    return next((name for begin, name in beginnings.items() if start.startswith(begin)), None)


def extension_of(content, name: str = "standard input") -> str:
    """The extension that fits the content of a picture, `name` for people.

    Raises:
        UserError: if it is none that can be read.
    """
    format = format_of_content(content)
    if format in FORMATS.values():
        return next(extension for extension, name in FORMATS.items() if name == format)
    reason = f"{format} is none of {', '.join(EXTENSIONS)}" if format else "of no known kind"
    raise UserError(f"{name}: not a picture that can be read ({reason})")


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
