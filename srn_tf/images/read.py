"""Reading a picture with all that can be kept of it."""

import contextlib
import mmap
import pathlib
import struct

import numpy as np
from PIL import Image, UnidentifiedImageError

from srn_tf import UserError
from srn_tf.images import jpeg, plain, png, tiff
from srn_tf.images.files import format_of, format_of_content, read_bytes, require_whole
from srn_tf.images.kind import Kind, Unsupported
from srn_tf.images.metadata import turn
from srn_tf.images.picture import MAX_MEGAPIXELS, Picture

_MODULES = {"JPEG": jpeg, "PNG": png, "TIFF": tiff}
# What decoders raise for damaged files, with a reason that a user can understand, and without: one
# picture must not end the others' work.
_REASONS = (OSError, ValueError, SyntaxError, EOFError, RuntimeError)
_MUDDLES = (
    *(TypeError, LookupError, ArithmeticError, AttributeError, AssertionError, struct.error),
    MemoryError,
)


def read_picture(path, max_megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """A picture with all that can be kept.

    Palettes become colours, CMYK and L*a*b* become RGB (CMYK by its profile, if it has one), fewer
    bits become eight, colours multiplied by alpha are divided by it.

    Raises:
        UserError: if the file is not a whole picture that can be read, is of another format than
            its extension says, or is larger than `max_megapixels` (millions of pixels).
        OSError: if it cannot be opened.
    """
    path = pathlib.Path(path)
    data = read_bytes(path)
    kind = identify(path, data)
    megapixels = kind.width * kind.height / 1e6
    if not megapixels <= max_megapixels:
        raise UserError(
            f"{path}: {kind.width}x{kind.height} is {megapixels:.4g} megapixels, and the limit "
            f"is {max_megapixels:g}"
        )
    pixels, damage = decode(path, kind, data)
    with _named(path):
        if kind.format == "JPEG":
            kind.notes += jpeg.notes_behind(kind, data)
        kind.make_upright()
    if damage:
        kind.notes.insert(0, f"parts of it are missing or damaged ({damage})")
    converted = kind.colors in ("CMYK", "Lab ")
    return Picture(
        turn(pixels[..., 0] if pixels.shape[2] == 1 else pixels, kind.orientation),
        exif=kind.exif,
        icc_profile=None if converted else kind.icc_profile,
        xmp=kind.xmp,
        iptc=kind.iptc,
        dpi=kind.dpi,
        lossless=kind.lossless,
        format=kind.format,
        extras=tuple(kind.extras),
        notes=tuple(kind.notes),
    )


def read_kind(path) -> Kind:
    """What a file is, without its pixels.

    Raises:
        UserError: if it is of no kind that can be read, or of another than its extension says.
        OSError: if it cannot be opened.
    """
    require_whole(path)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return identify(pathlib.Path(path), data)


def identify(path: pathlib.Path, data) -> Kind:
    """The kind of the file's content.

    Raises:
        UserError: as `read_kind`.
    """
    expected = format_of(path)
    with _named(path):
        format = format_of_content(data)
        if format is None:
            raise ValueError("of no known kind")
        if format != expected:
            raise UserError(f"{path}: its content is {format}, which its name does not say")
        Image.MAX_IMAGE_PIXELS = None  # `max_megapixels` is the limit
        return _MODULES.get(expected, plain).parse(data).settle()


def decode(path, kind: Kind, data: bytes) -> tuple[np.ndarray, str]:
    """Pixels [height, width, channels] as stored, and what is damaged about them, or "".

    Raises:
        UserError: if they are not there, or not to their end.
    """
    with _named(path):
        return _MODULES.get(kind.format, plain).decode(kind, data)


@contextlib.contextmanager
def _named(path):
    """Makes each failure one that names the file."""
    try:
        yield
    except _MUDDLES as error:
        reason = "too large for the memory" if isinstance(error, MemoryError) else "damaged"
        raise UserError(f"{path}: not a picture that can be read ({reason})") from None
    except Unsupported as error:
        raise UserError(f"{path}: {error}") from None
    except _REASONS as error:
        if str(error).startswith(f"{path}: "):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = "of no known kind" if isinstance(error, UnidentifiedImageError) else reason
        raise UserError(f"{path}: not a picture that can be read ({reason})") from None
