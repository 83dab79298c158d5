"""WebP, BMP, AVIF and, with pillow-heif, HEIF files: kinds that Pillow reads and writes whole.

Sources: WebP Container Specification (RFC 9649), BITMAPV5HEADER (Microsoft).
"""

import contextlib
import io
import re
import struct

import numpy as np
from PIL import Image

from srn_tf.images.kind import Kind, Unsupported, behind, in_memory, straight
from srn_tf.images.metadata import ORIENTATION, Exif

_MODES = {"1": 1, "L": 1, "LA": 2, "P": 3, "PA": 4, "RGB": 3, "RGBX": 3, "RGBA": 4, "RGBa": 4}
_EXIF_ITEM = re.compile(rb"(infe.{8})Exif", re.DOTALL)  # of the file's table of items
_EMBEDDED = 0x4D424544  # "MBED", of BMP's colour space: a profile is in the file


def _open(data) -> Image.Image:
    if data[4:8] == b"ftyp":
        _register_heif()
    try:
        return Image.open(in_memory(data))
    except (OSError, SyntaxError, ValueError):
        # An AVIF must not be lost for EXIF that its decoder cannot read: without that item.
        hidden = _EXIF_ITEM.sub(rb"\g<1>none", data[:])
        if hidden == data[:]:
            raise
        image = Image.open(io.BytesIO(hidden))
        image.info["exif"] = b"none"  # to be told of
        return image


def _register_heif() -> None:
    with contextlib.suppress(ImportError):  # without it AVIF is read all the same
        import pillow_heif

        pillow_heif.register_heif_opener()


def parse(data) -> Kind:
    """The kind of a file of these formats.

    Raises:
        ValueError: saying why it cannot be read.
        OSError: the same, by Pillow.
    """
    with _open(data) as image:
        if image.mode not in _MODES:
            raise Unsupported(f"pixels of kind {image.mode} cannot be read")
        kind = Kind(image.format, image.width, image.height, _MODES[image.mode])
        if image.mode in ("1", "L", "LA"):
            kind.colors = "GRAY"
        if image.mode == "P" and "transparency" in image.info:
            kind.channels = 4
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            kind.notes.append(f"only the first of its {frames} frames or pages is restored")
        if image.format == "BMP":
            dpi = image.info.get("dpi")
            kind.dpi = dpi if dpi and all(dpi) else None
        else:
            kind.exif = (image.info.get("exif") or b"").removeprefix(b"Exif\0\0") or None
            kind.xmp = image.info.get("xmp") or None
            kind.icc_profile = image.info.get("icc_profile") or None
    for box, at, bits in ((b"av1C", 6, (8, 10, 8, 12)), (b"hvcC", 21, range(8, 16))):
        if data[4:8] == b"ftyp" and (start := data.find(box)) > 0:
            depth = bits[data[start + at] >> 5 & 3 if box == b"av1C" else data[start + at] & 7]
            kind.notes += [f"{depth} bits became 8"] * (depth > 8)
    if kind.format == "WEBP":
        _parse_webp(kind, data)
    elif kind.format == "BMP":
        _parse_bmp(kind, data)
    return kind


def _parse_webp(kind: Kind, data) -> None:
    at, unknown = 12, []
    while at + 8 <= len(data):
        name, size = struct.unpack("<4sI", data[at : at + 8])
        content = bytes(data[at + 8 : at + 8 + size]) if name in (b"EXIF", b"XMP ") else b""
        if name == b"VP8L":
            kind.lossless = True
        elif name == b"EXIF":
            kind.exif = content.removeprefix(b"Exif\0\0")
        elif name == b"XMP ":
            kind.xmp = content
        elif name not in (b"VP8 ", b"VP8X", b"ALPH", b"ICCP", b"ANIM", b"ANMF"):
            unknown.append(name.decode("latin-1").strip())
        if name == b"ANMF" and bytes(data[at + 24 : at + 28]) == b"VP8L":
            kind.lossless = True
        at += 8 + size + size % 2
        if at >= 8 + struct.unpack("<I", data[4:8])[0]:
            break
    if unknown:
        kind.notes.append(f"{', '.join(dict.fromkeys(unknown))} not kept")
    kind.notes += behind(data, at)


def _parse_bmp(kind: Kind, data) -> None:
    (header,) = struct.unpack("<I", data[14:18])
    if header < 40:
        return
    bits, compression = struct.unpack("<HI", data[28:34])
    (start,) = struct.unpack("<I", data[10:14])
    stored = max(len(data) - start, 0)
    # A run of 255 pixels takes two bytes; what is not compressed, rows of whole words.
    row = (kind.width * bits + 31) // 32 * 4
    needed = kind.width * kind.height * 2 / 255 if compression in (1, 2) else row * kind.height
    if needed > stored:
        raise ValueError(f"{stored} bytes cannot hold the {kind.width}x{kind.height} it declares")
    if header >= 124:
        (space,) = struct.unpack("<I", data[70:74])
        at, size = struct.unpack("<II", data[126:134])
        if space == _EMBEDDED and size:
            kind.icc_profile = bytes(data[14 + at : 14 + at + size])
    elif header >= 108 and struct.unpack("<I", data[70:74])[0] == 0:
        kind.notes.append("its calibrated primaries and gamma not kept")


def decode(kind: Kind, data: bytes) -> tuple[np.ndarray, str]:
    """Pixels [height, width, channels], and "".

    Raises:
        ValueError, OSError: if they are damaged.
    """
    with _open(data) as image:
        if image.mode == "RGBa":
            pixels = straight(np.asarray(image))
        else:
            pixels = np.asarray(
                image.convert({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[kind.channels])
            )
    return pixels.reshape(kind.height, kind.width, kind.channels), ""


def encode(picture, quality: int, format: str) -> tuple[list[bytes], list[str]]:
    """The file of uint8 [height, width] or [height, width, 2 to 4], in one piece."""
    names = ("exif", "icc_profile", "xmp")
    options = {name: value for name in names if (value := getattr(picture, name))}
    if format == "BMP":
        options = {"dpi": picture.dpi} if picture.dpi else {}
    elif format == "WEBP":
        # Exact: colours stay where alpha hides them.
        options |= {"quality": quality, "lossless": picture.lossless, "exact": picture.lossless}
    else:
        options |= {"quality": quality}
    if format == "HEIF":
        _register_heif()
    if format == "AVIF" and picture.exif and Exif(picture.exif).orientation:
        # AVIF says it in its own way; with it, Pillow would encode all other values anew, too.
        options["exif"] = Exif(picture.exif).anew(ORIENTATION)
    encoded, image, reason = io.BytesIO(), Image.fromarray(picture.pixels), ""
    try:
        image.save(encoded, format, **options)
    except (OSError, ValueError, SyntaxError, TypeError, RuntimeError, LookupError, struct.error):
        # Strange EXIF, which these encoders want to read, must not cost the picture.
        if not options.pop("exif", None):
            raise
        encoded, reason = io.BytesIO(), "exif dropped, as it could not be written"
        image.save(encoded, format, **options)
    return [encoded.getvalue()], [reason] if reason else []
