"""Writing a picture with all that its format has a place for."""

import dataclasses
import functools
import itertools
import pathlib
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

from srn_tf import UserError
from srn_tf.atomic import atomic_file
from srn_tf.images.files import EXTENSIONS
from srn_tf.images.picture import (
    FAILURES,
    FORMATS,
    METADATA,
    QUALITY,
    XMP,
    Picture,
    reason_of,
    to_8_bit,
)


def write_picture(path, picture: Picture, quality: int = QUALITY) -> tuple[str, ...]:
    """Writes a picture in the format of the extension; whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        picture: what to write.
        quality: 1 to 100, of JPEG and of WebP that is not lossless.

    Returns:
        What the format could not keep, for the user to know.

    Raises:
        UserError: for an extension that cannot be written, or a picture too large for it.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in EXTENSIONS:
        raise UserError(f"{path}: the extension must be one of {', '.join(EXTENSIONS)}")
    format = FORMATS[path.suffix.lower()]
    height, width = picture.pixels.shape[:2]
    pixels, notes = picture.pixels.reshape(height, width, -1), []
    if pixels.dtype == np.uint16 and format not in ("PNG", "TIFF"):
        notes.append(f"16 bits became 8, as {format} has no more")
        pixels = to_8_bit(pixels)
    if pixels.shape[2] in (2, 4) and format in ("JPEG", "BMP"):
        notes.append(f"alpha is dropped, as {format} has none")
        pixels = pixels[..., :-1]
    if lost := [name for name in _names_of_metadata(picture) if name not in METADATA[format]]:
        notes.append(f"{', '.join(lost)} dropped, as {format} has no place for it")
    pixels = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    picture = _without(dataclasses.replace(picture, pixels=pixels), lost)
    if pixels.dtype == np.uint8:
        write = functools.partial(_write_8_bit, format=format, quality=quality)
    else:
        write = _write_16_bit_png if format == "PNG" else _write_16_bit_tiff
    with atomic_file(path) as temporary:
        # Strange metadata must not cost the picture, nor its colours if that can be helped.
        kinds = ([], ["xmp"], ["exif"], ["iptc", "text"], ["dpi", "icc_profile"])
        for dropped in itertools.accumulate(kinds):
            try:
                notes += write(temporary, _without(picture, dropped)) or []
                break
            except FAILURES as error:
                if getattr(error, "errno", None):  # the disk, not the picture
                    raise OSError(error.errno, error.strerror, str(path)) from None
                reason = reason_of(error)
        else:
            raise UserError(
                f"{path}: a picture of {width}x{height} cannot be written in this format ({reason})"
            )
        if lost := [name for name in _names_of_metadata(picture) if name in dropped]:
            notes.append(f"{', '.join(lost)} dropped, as it could not be written ({reason})")
    return tuple(notes)


def _names_of_metadata(picture: Picture) -> list[str]:
    names = dict.fromkeys(itertools.chain.from_iterable(METADATA.values()))
    return [name for name in names if getattr(picture, name)]


def _without(picture: Picture, names) -> Picture:
    empty = {name: {} if name == "text" else None for name in names}
    return dataclasses.replace(picture, **empty)


def _write_8_bit(path, picture: Picture, format: str, quality: int) -> None:
    names = ("exif", "icc_profile", "xmp", "dpi")
    options = {name: value for name in names if (value := getattr(picture, name)) is not None}
    if format == "PNG":
        options |= {"pnginfo": _png_text(picture), "compress_level": 3}
    elif format == "JPEG":
        options |= {"quality": quality, "subsampling": 0}
        if picture.iptc:
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(picture.iptc) + 2) + picture.iptc
    elif format == "WEBP":
        # Exact: colours stay where alpha hides them.
        options |= {"quality": quality, "lossless": picture.lossless, "exact": picture.lossless}
    elif format == "TIFF":
        options["exif"] = _exif_tags(picture)
        if picture.xmp:
            options["exif"][XMP] = picture.xmp
    Image.fromarray(picture.pixels).save(path, format, **options)


def _write_16_bit_png(path, picture: Picture) -> None:
    height, width = picture.pixels.shape[:2]
    color = {(): 0, (2,): 4, (3,): 2, (4,): 6}[picture.pixels.shape[2:]]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0))]
    chunks += _png_text(picture).chunks
    if picture.exif:
        chunks.append((b"eXIf", picture.exif.removeprefix(b"Exif\0\0")))
    if picture.icc_profile:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc_profile)))
    if picture.dpi:
        per_meter = (round(float(value) / 0.0254) for value in picture.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", *per_meter, 1)))
    # Each row is a byte that says how it is filtered, here "up" (2), and its difference to the row
    # above.
    rows = picture.pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    chunks += [(b"IDAT", zlib.compress(filtered, level=3)), (b"IEND", b"")]
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data, *_ in chunks:
            PngImagePlugin.putchunk(file, kind, data)


def _write_16_bit_tiff(path, picture: Picture) -> list[str]:
    pixels = picture.pixels
    if pixels.shape[2:] == (2,):
        pixels = pixels[..., [0, 0, 0, 1]]  # few programs read gray with alpha
    options = {"photometric": "minisblack" if pixels.ndim == 2 else "rgb"}
    if pixels.shape[2:] == (4,):
        options["extrasamples"] = ["unassalpha"]
    if picture.dpi:
        options |= {"resolution": tuple(map(float, picture.dpi)), "resolutionunit": "INCH"}
    exif = _exif_tags(picture)
    texts = {tag: text for tag, text in exif.items() if isinstance(text, str)}
    tags = [(tag, "s", 0, text.encode(), True) for tag, text in texts.items()]
    if picture.xmp:
        tags.append((XMP, "B", len(picture.xmp), picture.xmp, True))
    tifffile.imwrite(
        path,
        pixels,
        compression="zlib",
        predictor=True,
        iccprofile=picture.icc_profile,
        extratags=tags,
        metadata=None,
        software=False,
        **options,
    )
    return (
        [] if len(texts) == len(exif) else ["of its EXIF only texts kept, as the TIFF has 16 bits"]
    )


def _exif_tags(picture: Picture) -> Image.Exif:
    tags = Image.Exif()
    tags.load(picture.exif or b"")
    return tags


def _png_text(picture: Picture) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    xmp = {"XML:com.adobe.xmp": picture.xmp.decode("utf-8", "replace")} if picture.xmp else {}
    for key, value in (picture.text | xmp).items():
        info.add_itxt(key, value)
    return info
