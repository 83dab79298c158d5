"""JPEG files: ITU-T T.81, JFIF 1.02 (T.871), Exif 2.32, XMP Part 3, ICC.1:2022 annex B.4."""

import dataclasses
import io
import re
import struct

import numpy as np
import simplejpeg
from PIL import Image

from srn_tf.images.kind import Extra, Kind, Unsupported, behind, rgb_of_cmyk

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ICC, _PHOTOSHOP = b"ICC_PROFILE\0", b"Photoshop 3.0\0"
_TABLES, _HOLE = 0xC4, bytes(64)
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_LARGEST = 65533  # bytes of a segment
_FRAMES = {
    **dict.fromkeys((0xC0, 0xC1, 0xC2), ""),
    **dict.fromkeys((0xC9, 0xCA), ""),  # arithmetic coding
    **dict.fromkeys((0xC3, 0xCB), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical JPEG"),
}
# What describes other pictures, or the coding of this one, by how it starts; "" says nothing.
_PASSED_OVER = (
    (0xE0, b"JFXX\0", "thumbnail (JFXX)"),
    (0xE1, _EXIF, "second EXIF"),
    (0xE2, b"MPF\0", ""),  # told of as pictures
    (0xEB, b"JP", "content credentials (JUMBF)"),
    (0xEE, b"Adobe", ""),
)
_NEXT_MARKER = re.compile(rb"\xff[^\0\xff\xd0-\xd7]", re.DOTALL)


def parse(data) -> Kind:
    """The kind of a JPEG.

    Raises:
        ValueError: saying why it cannot be read.
    """
    segments, frame, scan = _segments(data)
    marker, frame = frame
    if problem := _FRAMES[marker]:
        raise Unsupported(f"{problem} cannot be read")
    if len(frame) < 6:
        raise ValueError("damaged")
    bits, height, width, components = struct.unpack_from(">BHHB", frame)
    if bits != 8:
        raise Unsupported(f"{bits} bits a channel; of a JPEG 8 can be restored")
    if components not in (1, 3, 4):
        raise Unsupported(f"a JPEG of {components} channels")
    if not width or not height:
        raise ValueError("its size is not declared")
    # Every 64 pixels take a bit at least.
    if width * height > 64 * 8 * len(data):
        raise ValueError(f"{len(data)} bytes cannot hold the {width}x{height} it declares")
    kind = Kind("JPEG", width, height, 1 if components == 1 else 3)
    kind.colors = {1: "GRAY", 3: "RGB ", 4: "CMYK"}[components]
    tables = [content for number, content in segments if number == _TABLES]
    zeros = marker not in (0xC0, 0xC1) or _zeros_make_sense(tables)
    kind.layout = _Layout(components, scan, zeros)
    if components == 4:
        kind.notes.append("CMYK, converted to RGB")
    _sort(kind, segments)
    return kind


@dataclasses.dataclass
class _Layout:
    """Channels; where the scan is; whether zeros can fill it; whether other pictures follow."""

    components: int
    scan: int
    zeros: bool
    followed: bool = False


def _zeros_make_sense(tables: list[bytes]) -> bool:
    """Whether zero bytes can be pixels: in all tables a code of zeros alone ends a block."""
    firsts = []
    for content in tables:
        at = 0
        while at + 17 < len(content):
            firsts += [content[at + 17]] * (content[at] >> 4)  # of AC tables
            at += 17 + sum(content[at + 1 : at + 17])
    return not any(firsts)


def _segments(data) -> tuple[list[tuple[int, bytes]], tuple[int, bytes], int]:
    """(marker, content) of the segments before the scan, of the frame, and the scan's place."""
    segments, frame, at = [], None, 2
    while True:
        while data[at : at + 1] != b"\xff" or data[at + 1 : at + 2] in (b"\0", b"\xff"):
            at += 1
            if at >= len(data):
                raise ValueError("cut, or no picture in it")
        if at + 4 > len(data):
            raise ValueError("cut")
        marker = data[at + 1]
        if marker == 0xD9:
            raise ValueError("no picture in it")
        if marker == 1 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if marker == 0xDA:
            if frame is None:
                raise ValueError("damaged")
            return segments, frame, at
        content = bytes(data[at + 4 : at + 2 + length])
        if marker in _FRAMES:
            frame = frame or (marker, content)
        elif 0xE0 <= marker <= 0xEF or marker in (0xFE, _TABLES):
            segments.append((marker, content))
        at += 2 + max(length, 2)


def _sort(kind: Kind, segments) -> None:
    """Puts each segment where a Kind has a place for it."""
    profile, passed_over, exif_ends = {}, [], False
    for marker, content in segments:
        if marker == _TABLES:
            continue
        if marker == 0xE0 and content.startswith(b"JFIF\0") and len(content) >= 12:
            unit, x, y = struct.unpack_from(">BHH", content, 7)
            scale = {1: 1.0, 2: 2.54}.get(unit)
            kind.dpi = (x * scale, y * scale) if scale and x and y else kind.dpi
            kind.extras.append(Extra("", marker, content[:12] + b"\0\0"))
            passed_over += ["thumbnail (JFIF)"] * (len(content) > 14)
        elif marker == 0xE1 and content.startswith(_EXIF) and (kind.exif is None or exif_ends):
            # A block of more than a segment goes on in the next.
            exif_ends = len(content) >= _LARGEST - 1
            kind.exif = (kind.exif or b"") + content[len(_EXIF) :]
        elif marker == 0xE1 and content.startswith(_XMP) and kind.xmp is None:
            kind.xmp = content[len(_XMP) :]
        elif marker == 0xE2 and content.startswith(_ICC) and len(content) > 14:
            profile[content[12]] = content[14:]
        elif marker == 0xED and content.startswith(_PHOTOSHOP):
            kind.iptc = (kind.iptc or _PHOTOSHOP) + content[len(_PHOTOSHOP) :]
        else:
            known = (
                name
                for known_marker, start, name in _PASSED_OVER
                if marker == known_marker and content.startswith(start)
            )
            if (name := next(known, None)) is None:
                name = "comment" if marker == 0xFE else f"segment APP{marker - 0xE0}"
                kind.extras.append(Extra(name, marker, content))
            elif name:
                passed_over.append(name)
            if content.startswith(b"MPF\0"):
                kind.layout.followed = True
    kind.icc_profile = b"".join(profile[i] for i in sorted(profile)) or None
    if passed_over:
        kind.notes.append(f"{', '.join(dict.fromkeys(passed_over))} not kept")


def _end(kind: Kind, data: bytes) -> int:
    """The place behind the picture in its file."""
    at = kind.layout.scan
    while (found := _NEXT_MARKER.search(data, at + 2)) and found[0] != _EOI:
        at = found.start()
    return found.end() if found else len(data)


def notes_behind(kind: Kind, data: bytes) -> list[str]:
    """Notes on what follows the picture in its file."""
    notes = behind(data, _end(kind, data))
    if notes and kind.layout.followed:
        return [f"further pictures ({notes[0].split(' ')[0]} bytes) behind the first not kept"]
    return notes


def decode(kind: Kind, data: bytes) -> tuple[np.ndarray, str]:
    """Pixels [height, width, channels] as stored, and what is damaged about them, or "".

    Raises:
        ValueError: if they are not there to their end.
    """
    components = kind.layout.components
    space, damage = {1: "GRAY", 3: "RGB", 4: "CMYK"}[components], ""
    try:
        pixels = simplejpeg.decode_jpeg(data, space)
    except ValueError as error:
        damage = str(error)
        if damage.startswith("Premature end"):
            raise ValueError("cut") from None
        pixels = simplejpeg.decode_jpeg(data, space, strict=False)
    hole = -1 if damage or kind.layout.zeros else data.find(_HOLE, kind.layout.scan)
    if 0 <= hole < _end(kind, data):  # the codes behind it may fit by chance
        damage = "zero bytes in the middle"
    if components == 4:
        # As Adobe writes inks, inverted; no other program writes CMYK.
        return rgb_of_cmyk(255 - pixels, kind.icc_profile), damage
    return pixels, damage


def encode(picture, quality: int) -> tuple[list[bytes], list[str]]:
    """The file of uint8 [height, width] or [height, width, 3] in pieces, and what does not fit."""
    encoded = io.BytesIO()
    Image.fromarray(picture.pixels).save(encoded, "JPEG", quality=quality, subsampling=0)
    encoded = encoded.getvalue()
    (length,) = struct.unpack_from(">H", encoded, 4)  # Pillow's JFIF
    own = [extra for extra in picture.extras if extra.key != 0xE0]
    chunks = _split(picture.icc_profile, 65519)
    count = [bytes([i + 1, len(chunks)]) for i in range(len(chunks))]
    # Where EXIF was in several segments, it may be again.
    exif = _split(picture.exif, _LARGEST - 6 if picture.format == "JPEG" else 2**32)
    wanted = [
        ("exif", 0xE1, [_EXIF + piece for piece in exif]),
        ("xmp", 0xE1, [_XMP + picture.xmp] if picture.xmp else []),
        ("icc_profile", 0xE2, [_ICC + i + c for i, c in zip(count, chunks, strict=True)]),
        ("iptc", 0xED, [_PHOTOSHOP + c for c in _split((picture.iptc or b"")[14:], 65500)]),
        *((extra.name, extra.key, [extra.data]) for extra in own),
    ]
    pieces, lost = [_SOI, _segment(0xE0, _jfif(picture))], []
    for name, marker, contents in wanted:
        if any(len(content) > _LARGEST for content in contents) or len(contents) > 255:
            lost.append(f"{name} dropped, as it could not be written (larger than 64 kB)")
        else:
            pieces += [_segment(marker, content) for content in contents]
    return [*pieces, encoded[4 + length :]], lost


def _jfif(picture) -> bytes:
    own = [extra.data for extra in picture.extras if extra.key == 0xE0]
    if own:
        turned = picture.dpi and struct.unpack_from(">HH", own[0], 8)
        if (
            turned
            and turned[0] != turned[1]
            and (turned[0] > turned[1]) != (picture.dpi[0] > picture.dpi[1])
        ):
            return own[0][:8] + struct.pack(">HH", *turned[::-1]) + own[0][12:]
        return own[0]
    x, y = (min(round(value), 65535) for value in picture.dpi or (1, 1))
    return b"JFIF\0" + struct.pack(">HBHHBB", 0x0101, 1 if picture.dpi else 0, x, y, 0, 0)


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _split(data: bytes | None, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data or b""), size)]
