"""PNG files: Portable Network Graphics Specification, Third Edition (W3C, 2025)."""

import re
import struct
import zlib

import numpy as np

from srn_tf.images.kind import MOST_DEFLATED, Extra, Kind, behind, inflate

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp"
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_CRITICAL = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# What says how colours are meant, and stays true of the restored pixels.
_COLORS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"mDCv", b"cLLi")
# Of the coding: nothing a user could miss.
_CODING = (b"iDOT",)
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")


def parse(data) -> Kind:
    """The kind of a PNG.

    Raises:
        ValueError: saying why it cannot be read.
    """
    chunks, end = _chunks(data)
    if not chunks or chunks[0][0] != b"IHDR" or chunks[0][2] != 13:
        raise ValueError("damaged")
    width, height, bits, color = struct.unpack(">IIBB", data[16:26])
    if color not in _CHANNELS or bits not in (1, 2, 4, 8, 16) or not width or not height:
        raise ValueError("damaged")
    stored = sum(size for name, _, size in chunks if name == b"IDAT")
    row = (width * bits * _SAMPLES[color] + 7) // 8
    if height * row > MOST_DEFLATED * stored:
        raise ValueError(f"{stored} bytes cannot hold the {width}x{height} it declares")
    kind = Kind("PNG", width, height, _CHANNELS[color], 16 if bits == 16 else 8)
    kind.channels += kind.channels in (1, 3) and any(name == b"tRNS" for name, *_ in chunks)
    kind.colors = "GRAY" if color in (0, 4) else "RGB "
    # A decoder needs no other chunks, and would tell of damaged ones in words of its own.
    kind.layout = [(at, at + 12 + size) for name, at, size in chunks if name in _CRITICAL]
    if chunks[-1][0] != b"IEND":
        kind.notes.append("its end is missing")
    _sort(kind, data, chunks)
    kind.notes += behind(data, end)
    return kind


def _chunks(data) -> tuple[list[tuple[bytes, int, int]], int]:
    """(type, place, bytes of content) of the chunks, and where they end."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        if at + 12 + size > len(data):
            if name == b"IDAT":
                raise ValueError("cut")
            break
        chunks.append((name, at, size))
        at += 12 + size
        if name == b"IEND":
            break
    return chunks, at


def _sort(kind: Kind, data, chunks) -> None:
    """Puts each chunk where a Kind has a place for it."""
    passed_over, raw, behind_pixels = [], {}, False
    for name, at, size in chunks:
        behind_pixels |= name == b"IDAT"
        if name in _CRITICAL or name in _CODING:
            continue
        content = bytes(data[at + 8 : at + 8 + size])
        label = name.decode("latin-1")
        if struct.pack(">I", zlib.crc32(name + content)) != bytes(
            data[at + 8 + size : at + 12 + size]
        ):
            passed_over.append(f"{label} (damaged)")
        elif name in _ANIMATION:
            if name == b"acTL" and size == 8:
                frames = struct.unpack_from(">I", content)[0]
                kind.notes.append(f"only the first of its {frames} frames or pages is restored")
        elif name == b"eXIf":
            kind.exif = content.removeprefix(b"Exif\0\0")  # which some writers put there
        elif name == b"iCCP" and kind.icc_profile is None:
            try:
                kind.icc_profile = inflate(content[content.index(b"\0") + 2 :])
                kind.extras.append(Extra("", name, content))
            except ValueError as error:
                kind.notes.append(f"icc_profile dropped, as it is damaged ({error})")
        elif name == b"pHYs" and size == 9:
            x, y, unit = struct.unpack(">IIB", content)
            kind.dpi = (x * 0.0254, y * 0.0254) if unit == 1 and x and y else None
            kind.extras.append(Extra("" if kind.dpi else "pHYs", name, content))
        elif name == b"iTXt" and content.startswith(_XMP + b"\0"):
            kind.xmp = _international(content)
        elif name in (b"tEXt", b"zTXt", b"iTXt") and content.startswith(b"Raw profile type "):
            raw[content.split(b"\0")[0]] = Extra(label, name, content)
        elif name in (b"tEXt", b"zTXt", b"iTXt", b"tIME", *_COLORS) or name[3:].islower():
            kind.extras.append(Extra(label, name, content))  # lower case: safe to copy
        else:
            passed_over.append(label)
    _sort_raw(kind, raw)
    if passed_over:
        kind.notes.append(f"{', '.join(dict.fromkeys(passed_over))} not kept")


def _sort_raw(kind: Kind, raw: dict[bytes, Extra]) -> None:
    """ImageMagick's way to keep EXIF, XMP and IPTC in text; EXIF and XMP get their own chunks."""
    for key, extra in raw.items():
        what = key.removeprefix(b"Raw profile type ").lower()
        content = _unpack_raw(extra) if what in (b"exif", b"app1", b"xmp") else None
        if content and content.startswith(b"Exif\0\0"):
            kind.exif = kind.exif or content[6:]
        elif content and what == b"exif":
            kind.exif = kind.exif or content
        elif content and (what == b"xmp" or content.startswith(b"http://ns.adobe.com/xap/1.0/\0")):
            kind.xmp = kind.xmp or content.removeprefix(b"http://ns.adobe.com/xap/1.0/\0")
        elif what in (b"exif", b"app1", b"xmp"):
            kind.notes.append(f"{key.decode('latin-1')} not kept, as it is damaged")
        else:
            kind.extras.append(extra)


def _unpack_raw(extra: Extra) -> bytes | None:
    """The bytes of a raw profile: a name, their number, and they in hexadecimal."""
    try:
        text = extra.data.split(b"\0", 1)[1]
        if extra.key == b"zTXt":
            text = inflate(text[1:])
        elif extra.key == b"iTXt":
            text = _international(extra.data) or b""
        _, size, digits = text.split(None, 2)
        return bytes.fromhex(digits.decode("ascii"))[: int(size)]
    except (ValueError, IndexError):
        return None


def _international(content: bytes) -> bytes | None:
    """The text of an iTXt chunk."""
    match = re.match(rb"[^\0]*\0(.)(.)[^\0]*\0[^\0]*\0", content, re.DOTALL)
    if not match:
        return None
    text = content[match.end() :]
    try:
        return inflate(text) if match[1] == b"\1" else text
    except ValueError:
        return None


def decode(kind: Kind, data: bytes) -> tuple[np.ndarray, str]:
    """Pixels [height, width, channels], and "".

    Raises:
        ValueError: if they are damaged.
    """
    import imagecodecs  # here: a machine that trains from JPEGs alone does without

    pieces = [data[start:end] for start, end in kind.layout]
    if not pieces[-1].endswith(_IEND):
        pieces.append(_IEND)
    try:
        pixels = imagecodecs.png_decode(SIGNATURE + b"".join(pieces))
    except RuntimeError as error:
        raise ValueError(str(error) or "damaged") from None
    return pixels.reshape(kind.height, kind.width, -1), ""


def encode(picture, quality: int) -> tuple[list[bytes], list[str]]:
    """The file of uint8 or uint16 [height, width] or [height, width, 2 to 4] in pieces."""
    import imagecodecs

    encoded = imagecodecs.png_encode(picture.pixels, level=3)
    colors, texts = [], []
    own = {extra.key: extra.data for extra in picture.extras}
    if picture.icc_profile:
        content = b"ICC Profile\0\0" + zlib.compress(picture.icc_profile)
        colors.append(_chunk(b"iCCP", own.get(b"iCCP", content)))
    if picture.dpi or b"pHYs" in own:
        colors.append(_chunk(b"pHYs", _physical(picture, own.get(b"pHYs"))))
    if picture.exif:
        colors.append(_chunk(b"eXIf", picture.exif))
    if picture.xmp:
        texts.append(_chunk(b"iTXt", _XMP + bytes(5) + picture.xmp))
    for extra in picture.extras:
        if extra.key not in (b"iCCP", b"pHYs"):
            (colors if extra.key in _COLORS else texts).append(_chunk(extra.key, extra.data))
    header = len(SIGNATURE) + 25
    return [encoded[:header], *colors, *texts, encoded[header:]], []


def _physical(picture, own: bytes | None) -> bytes:
    if own is None:
        return struct.pack(">IIB", *(round(float(v) / 0.0254) for v in picture.dpi), 1)
    x, y, unit = struct.unpack(">IIB", own)
    turned = picture.dpi and x != y and (x > y) != (picture.dpi[0] > picture.dpi[1])
    return struct.pack(">IIB", y, x, unit) if turned else own


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


_IEND = _chunk(b"IEND", b"")
