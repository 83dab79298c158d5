"""Writing a picture with all that its format has a place for."""

import dataclasses
import functools
import itertools
import pathlib

import numpy as np

from srn_tf import UserError
from srn_tf.atomic import atomic_file
from srn_tf.images import jpeg, plain, png, tiff
from srn_tf.images.files import format_of
from srn_tf.images.kind import profile_problem
from srn_tf.images.metadata import Exif
from srn_tf.images.picture import METADATA, QUALITY, Picture, to_8_bit

_ENCODERS = {"JPEG": jpeg.encode, "PNG": png.encode, "TIFF": tiff.encode}


def write_picture(path, picture: Picture, quality: int = QUALITY) -> tuple[str, ...]:
    """Writes a picture in the format of the extension; whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        picture: what to write.
        quality: 1 to 100, of JPEG, AVIF, HEIF and of WebP that is not lossless.

    Returns:
        What the format could not keep, for the user to know.

    Raises:
        UserError: for an extension that cannot be written, or a picture too large for it.
        OSError: if the disk refuses.
    """
    path = pathlib.Path(path)
    format = format_of(path)
    picture, notes = _fitted(picture, format)
    encode = _ENCODERS.get(format) or functools.partial(plain.encode, format=format)
    try:
        pieces, more = encode(picture, quality)
    except (ValueError, OSError, RuntimeError, OverflowError, MemoryError) as error:
        height, width = picture.pixels.shape[:2]
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: a picture of {width}x{height} cannot be written in this format ({reason})"
        ) from None
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        for piece in pieces:
            if isinstance(piece, tuple):
                place, piece = piece
                file.seek(place)
            file.write(piece)
    return (*notes, *more)


def _says_dpi(exif: bytes | None) -> bool:
    try:
        return bool(exif and Exif(exif.removeprefix(b"Exif\0\0")).dpi)
    except ValueError:
        return False


def _fitted(picture: Picture, format: str) -> tuple[Picture, list[str]]:
    """What of a picture a format has a place for, and notes on the rest."""
    height, width = picture.pixels.shape[:2]
    pixels, notes = picture.pixels.reshape(height, width, -1), []
    if pixels.dtype == np.uint16 and format not in ("PNG", "TIFF"):
        notes.append(f"16 bits became 8, as {format} has no more")
        pixels = to_8_bit(pixels)
    if pixels.shape[2] in (2, 4) and format in ("JPEG", "BMP"):
        notes.append(f"alpha is dropped, as {format} has none")
        pixels = pixels[..., :-1]
    names = dict.fromkeys(itertools.chain.from_iterable(METADATA.values()))
    lost = [name for name in names if getattr(picture, name) and name not in METADATA[format]]
    changes = dict.fromkeys(lost)
    if "dpi" in lost and "exif" not in lost and _says_dpi(picture.exif):
        lost.remove("dpi")
    if picture.format != format:
        lost += dict.fromkeys(extra.name for extra in picture.extras if extra.name)
        changes["extras"] = ()
    if lost:
        notes.append(f"{', '.join(lost)} dropped, as {format} has no place for it")
    gray = pixels.shape[2] < 3 and format != "WEBP"  # which makes RGB of it
    profile = None if "icc_profile" in changes else picture.icc_profile
    if profile and (problem := profile_problem(profile, "GRAY" if gray else "RGB ")):
        changes["icc_profile"] = None
        notes.append(f"icc_profile dropped, as it is {problem}")
    if picture.exif and "exif" not in changes:
        changes["exif"] = picture.exif.removeprefix(b"Exif\0\0")
    pixels = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return dataclasses.replace(picture, pixels=pixels, **changes), notes
