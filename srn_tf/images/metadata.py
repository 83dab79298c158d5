"""EXIF and XMP of a picture that is turned upright.

A block of EXIF stays what it was, byte for byte; the few numbers that the turn makes wrong are
written in place, so that offsets, maker notes and unknown tags are not touched.
Sources: Exif 2.32 (CIPA DC-008), XMP Specification Part 2 (Adobe, 2016).
"""

import contextlib
import re
import struct

import numpy as np
import simplejpeg

from srn_tf.images import ifd

ORIENTATION, WIDTH, HEIGHT = 0x0112, 0x0100, 0x0101
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_EXIF_WIDTH, _EXIF_HEIGHT = 0xA002, 0xA003
_THUMBNAIL_AT, _THUMBNAIL_LENGTH = 0x0201, 0x0202
# Where something else than a number shows that a block is damaged.
_NUMERIC = {
    *(ORIENTATION, WIDTH, HEIGHT, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT),
    *(ifd.EXIF, ifd.GPS),
}
TURNED = (5, 6, 7, 8)  # orientations that exchange width and height
_NAMESPACES = {
    "http://ns.adobe.com/tiff/1.0/": ("ImageWidth", "ImageLength"),
    "http://ns.adobe.com/exif/1.0/": ("PixelXDimension", "PixelYDimension"),
}


class Exif:
    """A block of EXIF, without the `Exif\\0\\0` before it in a JPEG.

    Attributes:
        block: the bytes.
        order: "<" or ">".
        fields: of its first directory, with those inside.
        following: the place of its second directory, of the thumbnail.

    Raises:
        ValueError: if it is not one, or cut.
    """

    def __init__(self, block: bytes):
        self.block = block
        self.order, big, at = ifd.read_start(block)
        if big:
            raise ValueError("BigTIFF")
        self.fields, self.following = ifd.read_tree(block, self.order, big, at)

    @property
    def problem(self) -> str:
        """What shows that the block is damaged; empty if nothing does."""
        for field in self.fields:
            is_number = isinstance(field.value, list) or field.numbers(self.order)
            if field.tag in _NUMERIC and not is_number:
                return f"tag {field.tag} is no number"
        return ""

    @property
    def orientation(self) -> int | None:
        """1 to 8; None where there is none of these."""
        return orientation_of(self.fields, self.order)

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Resolution (x, y) in dots per inch."""
        return dpi_of(self.fields, self.order)

    def upright(self, orientation: int, width: int, height: int) -> tuple[bytes, list[str]]:
        """The block for the picture turned upright, and notes.

        Args:
            orientation: by which the picture was turned, 1 to 8.
            width, height: of the picture upright.
        """
        block = bytearray(self.block)
        if self.orientation:
            self._write(block, ifd.find(self.fields, ORIENTATION), 1)
        if orientation in TURNED:
            for path, size in (
                ((WIDTH,), width),
                ((HEIGHT,), height),
                ((ifd.EXIF, _EXIF_WIDTH), width),
                ((ifd.EXIF, _EXIF_HEIGHT), height),
            ):
                self._write(block, ifd.find(self.fields, *path), size)
            x, y = (ifd.find(self.fields, tag) for tag in (X_RESOLUTION, Y_RESOLUTION))
            if x and y and x.type == y.type and len(x.value) == len(y.value):
                block[x.at : x.at + len(x.value)] = y.value
                block[y.at : y.at + len(y.value)] = x.value
        kept = orientation == 1 or not self.following or self._turn_thumbnail(block, orientation)
        return bytes(block), [] if kept else ["the EXIF's thumbnail dropped"]

    def anew(self, *without: int) -> bytes:
        """The block laid out anew, without some tags of its first directory and the thumbnail."""
        layout = ifd.Layout(self.order, ifd.find(self.fields, ifd.EXIF, ifd.MAKER_NOTE))
        fields = [field for field in self.fields if field.tag not in without]
        return ifd.joined(layout.finish(layout.directory(ifd.readable(fields))))

    def _write(self, block: bytearray, field: ifd.Field | None, number: int) -> None:
        if field is None or field.type not in ifd.NUMBERS:
            return
        if (numbers := field.numbers(self.order)) and numbers[0] != number:
            with contextlib.suppress(struct.error):  # too large for its type, as what was there
                struct.pack_into(self.order + ifd.NUMBERS[field.type], block, field.at, number)

    def _turn_thumbnail(self, block: bytearray, orientation: int) -> bool:
        """Writes the thumbnail turned into the place it has; without one, unlinks its directory."""
        try:
            fields, _ = ifd.read_directory(self.block, self.order, False, self.following)
            at, length = (ifd.find(fields, tag) for tag in (_THUMBNAIL_AT, _THUMBNAIL_LENGTH))
            start, size = (int(field.numbers(self.order)[0]) for field in (at, length))
            pixels = turn(simplejpeg.decode_jpeg(self.block[start : start + size]), orientation)
            for quality in (90, 80, 70, 55, 40, 25):
                encoded = simplejpeg.encode_jpeg(pixels, quality, colorsubsampling="420")
                if len(encoded) <= size:
                    break
            else:
                raise ValueError("no room")
        except (ValueError, AttributeError, IndexError):
            _, _, first = ifd.read_start(self.block)
            (count,) = struct.unpack_from(f"{self.order}H", block, first)
            struct.pack_into(f"{self.order}I", block, first + 2 + 12 * count, 0)
            return False
        block[start : start + size] = encoded.ljust(size, b"\0")
        self._write(block, length, len(encoded))
        self._write(block, ifd.find(fields, ORIENTATION), 1)
        return True


def orientation_of(fields: list[ifd.Field], order: str) -> int | None:
    """The orientation of a directory; None where there is none of 1 to 8."""
    field = ifd.find(fields, ORIENTATION)
    numbers = field.numbers(order) if field else ()
    return int(numbers[0]) if numbers and numbers[0] in range(1, 9) else None


def dpi_of(fields: list[ifd.Field], order: str) -> tuple[float, float] | None:
    """The resolution of a directory, (x, y) in dots per inch; None where it has no unit."""
    x, y, unit = (
        (field.numbers(order) if field else ())
        for field in (
            ifd.find(fields, tag) for tag in (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)
        )
    )
    scale = {2: 1.0, 3: 2.54}.get(unit[0] if unit else 2)
    if not (x and y and x[0] > 0 and y[0] > 0 and scale):
        return None
    return x[0] * scale, y[0] * scale


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Upright pixels [height, width] or [height, width, channels]; orientation is 1 to 8."""
    if orientation in TURNED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def xmp_orientation(xmp: bytes) -> int | None:
    """The orientation that a packet of XMP says, 1 to 8."""
    text, _ = _decode_xmp(xmp)
    for pattern in _property_patterns(text, "http://ns.adobe.com/tiff/1.0/", "Orientation"):
        if match := re.search(pattern, text):
            return int(match[2]) if match[2] in "12345678" else None
    return None


def upright_xmp(xmp: bytes, orientation: int, width: int, height: int) -> bytes:
    """A packet of XMP for the picture turned upright: without orientation, its sizes exchanged."""
    text, encoding = _decode_xmp(xmp)
    original = text
    if (xmp_orientation(xmp) or 1) != 1:
        for pattern in _property_patterns(text, "http://ns.adobe.com/tiff/1.0/", "Orientation"):
            text = re.sub(pattern, "", text)
    if orientation in TURNED:
        for namespace, names in _NAMESPACES.items():
            for name, size in zip(names, (width, height), strict=True):
                for pattern in _property_patterns(text, namespace, name):
                    text = re.sub(pattern, rf"\g<1>{size}\g<3>", text)
    return xmp if text == original else text.encode(encoding, "surrogateescape")


def _decode_xmp(xmp: bytes) -> tuple[str, str]:
    """The text of a packet, and its encoding, which its first character tells."""
    start = xmp.lstrip(b"\xef\xbb\xbf")[:4]
    encoding = "utf-16-be" if start[:1] == b"\0" or start[:2] == b"\xfe\xff" else "utf-8"
    if start[1:2] == b"\0" or start[:2] == b"\xff\xfe":
        encoding = "utf-16-le"
    return xmp.decode(encoding, "surrogateescape" if encoding == "utf-8" else "replace"), encoding


def _property_patterns(text: str, namespace: str, name: str) -> list[str]:
    """Patterns of a property with a number, as attribute and as element: before, number, after."""
    prefixes = re.findall(rf"xmlns:([\w.-]+)\s*=\s*[\"']{re.escape(namespace)}[\"']", text)
    patterns = []
    for prefix in map(re.escape, dict.fromkeys(prefixes)):
        tag = f"{prefix}:{name}"
        patterns += [rf"(\s{tag}\s*=\s*[\"']\s*)(\d+)(\s*[\"'])"]
        patterns += [rf"(<{tag}(?:\s[^>]*)?>\s*)(\d+)(\s*</{tag}\s*>)"]
    return patterns
