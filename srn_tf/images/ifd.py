"""The directories of TIFF files, of which EXIF is made, too: reading, and laying out anew.

Sources: TIFF Revision 6.0 (Adobe, 1992), BigTIFF (2007), Exif 2.32 (CIPA DC-008). Values stay the
bytes that they are in the file; their byte order is that of the directory they came from.
"""

import dataclasses
import struct

# Bytes of a value of each type.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
BIG_SIZES = {16: 8, 17: 8, 18: 8}  # BigTIFF's own
NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
FRACTIONS = {5: "I", 10: "i"}

EXIF, GPS, INTEROP = 0x8769, 0x8825, 0xA005
# Tags whose value is the place of a directory, by where they are.
POINTERS = {None: (EXIF, GPS), EXIF: (INTEROP,)}
MAKER_NOTE = 0x927C
_MOST_ENTRIES = 4096  # the largest known directories have some 300


@dataclasses.dataclass(frozen=True)
class Field:
    """One entry of a directory.

    Attributes:
        tag, type, count: as in the file.
        value: its bytes, or the fields of a directory; None where they lie outside the file.
        at: where the value is, in the file.
    """

    tag: int
    type: int
    count: int
    value: object
    at: int = 0

    def numbers(self, order: str) -> tuple[float, ...]:
        """Its values; fractions as floats, and none for what is no number."""
        if not isinstance(self.value, bytes):
            return ()
        if self.type in NUMBERS:
            return struct.unpack(f"{order}{self.count}{NUMBERS[self.type]}", self.value)
        if self.type in FRACTIONS:
            parts = struct.unpack(f"{order}{2 * self.count}{FRACTIONS[self.type]}", self.value)
            return tuple(a / b if b else 0.0 for a, b in zip(parts[::2], parts[1::2], strict=True))
        return ()


def read_start(data) -> tuple[str, bool, int]:
    """(byte order for struct, whether it is BigTIFF, place of the first directory).

    Raises:
        ValueError: if this is no TIFF structure.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None or len(data) < 8:
        raise ValueError("no TIFF structure")
    (version,) = struct.unpack_from(f"{order}H", data, 2)
    if version == 43 and len(data) >= 16 and bytes(data[4:8]) == struct.pack(f"{order}HH", 8, 0):
        return order, True, struct.unpack_from(f"{order}Q", data, 8)[0]
    if version != 42:
        raise ValueError("no TIFF structure")
    return order, False, struct.unpack_from(f"{order}I", data, 4)[0]


def read_directory(data, order: str, big: bool, at: int) -> tuple[list[Field], int]:
    """The fields of the directory at a place, and the place of the next one, 0 where it is last.

    Raises:
        ValueError: if it does not lie inside the data.
    """
    head, entry, word = ("Q", 20, "Q") if big else ("H", 12, "I")
    try:
        (count,) = struct.unpack_from(f"{order}{head}", data, at)
        start = at + struct.calcsize(head)
        if count > _MOST_ENTRIES or start + count * entry > len(data):
            raise ValueError(f"a directory of {count} entries")
        fields = [_read_field(data, order, start + i * entry, word, big) for i in range(count)]
        end = start + count * entry
        rest = bytes(data[end : end + struct.calcsize(word)])  # some writers leave it out
        following = struct.unpack(f"{order}{word}", rest)[0] if len(rest) > 3 else 0
    except (struct.error, OverflowError):
        raise ValueError("a directory outside the data") from None
    return fields, following


def _read_field(data, order: str, at: int, word: str, big: bool) -> Field:
    tag, type, count = struct.unpack_from(f"{order}HH{word}", data, at)
    size = (SIZES | BIG_SIZES if big else SIZES).get(type, 0) * count
    place = at + 4 + struct.calcsize(word)
    if size > struct.calcsize(word):
        (place,) = struct.unpack_from(f"{order}{word}", data, place)
    inside = size > 0 and place + size <= len(data)
    return Field(tag, type, count, bytes(data[place : place + size]) if inside else None, place)


def read_tree(data, order: str, big: bool, at: int) -> tuple[list[Field], int]:
    """As `read_directory`, with the directories of EXIF, GPS and interoperability as values.

    One of these that cannot be read is left as the number that it is in the file.
    """

    def descend(fields, parent):
        for i, field in enumerate(fields):
            if field.tag in POINTERS.get(parent, ()) and (places := field.numbers(order)):
                try:
                    inner, _ = read_directory(data, order, big, int(places[0]))
                except ValueError:
                    continue
                fields[i] = dataclasses.replace(field, value=descend(inner, field.tag))
        return fields

    fields, following = read_directory(data, order, big, at)
    return descend(fields, None), following


def find(fields: list[Field], *tags: int) -> Field | None:
    """The field at a path of tags, such as (EXIF, MAKER_NOTE)."""
    for tag in tags:
        field = next((f for f in fields if f.tag == tag), None)
        if field is None:
            return None
        fields = field.value if isinstance(field.value, list) else []
    return field


def readable(fields: list[Field]) -> list[Field]:
    """Without what lies outside the file or is of BigTIFF's types."""
    found = []
    for field in fields:
        if isinstance(field.value, list):
            field = Field(field.tag, 4, 1, readable(field.value))
        if field.value is not None and field.type not in BIG_SIZES:
            found.append(field)
    return found


def count_directories(data, order: str, big: bool, at: int, most: int) -> int:
    """How many directories follow each other from a place on, up to `most`."""
    head, entry, word = ("Q", 20, "Q") if big else ("H", 12, "I")
    seen = set()
    while at and at not in seen and len(seen) < most:
        seen.add(at)
        try:
            (count,) = struct.unpack_from(f"{order}{head}", data, at)
            end = at + struct.calcsize(head) + count * entry
            (at,) = struct.unpack_from(f"{order}{word}", data, end)
        except (struct.error, OverflowError):
            break
    return len(seen)


class Layout:
    """Directories and blocks of bytes, each given its place in a file of classic TIFF.

    A maker note stays where it was, because what is in it may count from the start of the file; all
    else goes around it.

    Attributes:
        parts: (place, bytes), in no order.
        end: of the file.
    """

    def __init__(self, order: str, kept: Field | None = None):
        self.order, self.parts, self.end = order, [], 8
        self._kept = (kept.at, kept.at + len(kept.value)) if kept and kept.at >= 8 else None

    def place(self, block: bytes) -> int:
        """Puts a block at the next free place, which is even."""
        start = self._free(len(block))
        self.parts.append((start, block))
        return start

    def _free(self, size: int) -> int:
        start = self.end + self.end % 2
        if self._kept and start < self._kept[1] and start + size > self._kept[0]:
            start = self._kept[1] + self._kept[1] % 2
        self.end = start + size
        return start

    def directory(self, fields: list[Field], following: int = 0) -> int:
        """Puts a directory with its values, and those inside it; gives its place."""
        fields = sorted(fields, key=lambda field: field.tag)
        start = self._free(2 + 12 * len(fields) + 4)
        entries = [struct.pack(f"{self.order}H", len(fields))]
        for field in fields:
            type, count, value = field.type, field.count, field.value
            if isinstance(value, list):
                type, count = 4, 1
                value = struct.pack(f"{self.order}I", self.directory(value))
            elif len(value) > 4:
                if self._kept and field.tag == MAKER_NOTE:
                    place = self._kept[0]
                    self.parts.append((place, value))
                else:
                    place = self.place(value)
                value = struct.pack(f"{self.order}I", place)
            entries.append(struct.pack(f"{self.order}HHI", field.tag, type, count))
            entries.append(value.ljust(4, b"\0"))
        entries.append(struct.pack(f"{self.order}I", following))
        self.parts.append((start, b"".join(entries)))
        return start

    def finish(self, first: int) -> list[tuple[int, bytes]]:
        """All parts with the file's start, in the order of their places."""
        start = {"<": b"II*\0", ">": b"MM\0*"}[self.order]
        self.parts.append((0, start + struct.pack(f"{self.order}I", first)))
        return sorted(self.parts, key=lambda part: part[0])


def joined(parts: list[tuple[int, bytes]]) -> bytes:
    """Parts of a `Layout` in one piece, zero between them."""
    whole = bytearray(max(at + len(block) for at, block in parts))
    for at, block in parts:
        whole[at : at + len(block)] = block
    return bytes(whole)
