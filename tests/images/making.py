"""Files of pictures made byte by byte, so that what they hold is known without any reader."""

import struct
import zlib

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 9: 4, 10: 8, 12: 8}
CODES = {1: "B", 3: "H", 4: "I", 5: "I", 9: "i", 10: "i"}


def numbers(order: str, type: int, *values) -> tuple[int, int, bytes]:
    """(type, count, value) of a field; fractions are given as numerator, denominator, ..."""
    packed = struct.pack(order + CODES[type] * len(values), *values)
    return type, len(packed) // SIZES[type], packed


def text(value: bytes) -> tuple[int, int, bytes]:
    return 2, len(value) + 1, value + b"\0"


def opaque(value: bytes) -> tuple[int, int, bytes]:
    return 7, len(value), value


def directories(order: str, fields: dict, start: int = 8, following: bytes = b"") -> bytes:
    """A TIFF structure; a value that is a dict is a directory. `following` is a second one, which
    is a function of its place."""
    blob = bytearray({"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", start))
    blob += bytes(start - 8)

    def add(fields):
        at = len(blob)
        blob.extend(bytes(2 + 12 * len(fields) + 4))
        struct.pack_into(order + "H", blob, at, len(fields))
        for i, (tag, field) in enumerate(sorted(fields.items())):
            if isinstance(field, dict):
                field = numbers(order, 4, add(field))
            type, count, value = field
            if callable(value):
                value = value(len(blob))  # a maker note that counts from the start of the file
                count = len(value)
            if len(value) > 4:
                place = struct.pack(order + "I", len(blob))
                blob.extend(value + b"\0" * (len(value) % 2))
                value = place
            entry = struct.pack(order + "HHI", tag, type, count) + value.ljust(4, b"\0")
            blob[at + 2 + 12 * i : at + 14 + 12 * i] = entry
        return at

    first = add(fields)
    if following:
        struct.pack_into(order + "I", blob, first + 2 + 12 * len(fields), len(blob))
        blob.extend(following(len(blob)))
    return bytes(blob)


def read_directories(data: bytes, at: int | None = None, tag=()) -> dict:
    """{path of tags: (type, count, value)} of a TIFF structure; pointers are followed."""
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    if at is None:
        (at,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, at)
    found = {}
    for place in range(at + 2, at + 2 + 12 * count, 12):
        number, type, length = struct.unpack_from(order + "HHI", data, place)
        size, start = SIZES.get(type, 1) * length, place + 8
        if size > 4:
            (start,) = struct.unpack_from(order + "I", data, start)
        if number in (0x8769, 0x8825, 0xA005):
            (inner,) = struct.unpack_from(order + "I", data, place + 8)
            found |= read_directories(data, inner, (*tag, number))
        else:
            found[(*tag, number)] = type, length, data[start : start + size]
    return found


def tiff(order: str, fields: dict, strips: list[bytes]) -> bytes:
    """A TIFF with strips of pixels, which come first."""
    places = [8 + sum(map(len, strips[:i])) for i in range(len(strips))]
    start = 8 + sum(map(len, strips))
    start += start % 2
    fields = fields | {
        273: numbers(order, 4, *places),
        279: numbers(order, 4, *map(len, strips)),
    }
    data = directories(order, fields, start)
    return data[:8] + b"".join(strips).ljust(start - 8, b"\0") + data[start:]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """(marker, content) of a JPEG's segments before its scan."""
    at, found = 2, []
    while data[at + 1] != 0xDA:
        (size,) = struct.unpack_from(">H", data, at + 2)
        found.append((data[at + 1], data[at + 4 : at + 2 + size]))
        at += 2 + size
    return found


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(type, content) of a PNG's chunks."""
    at, found = 8, []
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def png(width: int, height: int, bits: int, color: int, rows: list[bytes], *extra) -> bytes:
    """A PNG of unfiltered rows, with (type, content) of further chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *extra, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def riff(data: bytes) -> list[tuple[bytes, bytes]]:
    """(type, content) of a WebP's chunks."""
    at, found = 12, []
    while at < len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        found.append((name, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found
