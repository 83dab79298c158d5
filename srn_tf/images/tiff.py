"""TIFF files: TIFF Revision 6.0 (Adobe, 1992), its technical notes 1 and 2, BigTIFF (2007)."""

import io
import logging
import math
import struct
import subprocess
import sys
import zlib

import numpy as np
import simplejpeg
import tifffile

from srn_tf.images import ifd
from srn_tf.images.kind import (
    MOST_DEFLATED,
    Extra,
    Kind,
    Unsupported,
    inflate,
    rgb_of_cmyk,
    rgb_of_lab,
    straight,
)
from srn_tf.images.metadata import (
    ORIENTATION,
    RESOLUTION_UNIT,
    X_RESOLUTION,
    Y_RESOLUTION,
    Exif,
    dpi_of,
    orientation_of,
)

# What damaged files make tifffile tell is in our own words already.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILES, _TILE_SIZES, _INKS, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 324, 325, 332, 338, 339
_TILE_WIDTH, _TILE_HEIGHT, _STORAGE = 322, 323, (_COMPRESSION, _STRIPS, _STRIP_SIZES)
_XMP, _IPTC, _PHOTOSHOP, _ICC = 700, 33723, 34377, 34675
_LAYERS, _SUBIFDS, _TRANSFER, _JPEG_TABLES = 37724, 330, 301, 347
# How pixels are stored: no metadata.
_LAYOUT = (
    *range(254, 260),
    *(_PHOTOMETRIC, 263, 264, 265, 266, _STRIPS, _SAMPLES, _ROWS, _STRIP_SIZES, 280, 281),
    *(_PLANAR, 288, 289, 290, 291, 292, 293, 297, _PREDICTOR, 320, 321, 322, 323, _TILES),
    *(_TILE_SIZES, 326, 327, 328, _INKS, 333, 334, 336, 337, _EXTRA_SAMPLES, _SAMPLE_FORMAT),
    *(340, 341, _JPEG_TABLES, 351, *range(512, 533), 32997),
)
_RESOLUTION = (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, ORIENTATION)
# Photometric interpretation -> (channels of colour, whose profile fits); None: in words, why not.
_GRAYS, _PALETTE, _CMYK, _YCBCR, _CIELAB, _ICCLAB = (0, 1), 3, 5, 6, 8, 9
_KINDS = {
    **dict.fromkeys(_GRAYS, (1, "GRAY")),
    2: (3, "RGB "),
    _PALETTE: (1, "RGB "),
    _CMYK: (4, "CMYK"),
    _YCBCR: (3, "RGB "),
    **dict.fromkeys((_CIELAB, _ICCLAB), (3, "Lab ")),
}
_UNSUPPORTED = {
    4: "a transparency mask",
    10: "ITU L*a*b* colours",
    **dict.fromkeys((32803, 34892), "a camera's raw picture"),
    **dict.fromkeys((32844, 32845), "LogLuv colours"),
}
_JPEG, _FAX = 7, (2, 3, 4)
_DEFLATE = (8, 32946)
_LZW_MOST = 2560  # a code of 12 bits stands for 3838 bytes at most
_COMPRESSIONS = {
    1: 1.0,
    5: _LZW_MOST,
    32773: 64.0,
    **dict.fromkeys(_DEFLATE, MOST_DEFLATED),
    34925: 8000.0,  # 14 decisions of 0.02 bits at least for 273 bytes
    50000: 2.0**15,  # a block of 128 kB takes 4 bytes at least
    **dict.fromkeys((2, 3, 4, _JPEG, 50001), math.inf),
}
_NAMES = {6: "old-style JPEG", 34712: "JPEG 2000", 34887: "LERC", 52546: "JPEG XL"}
_MOST_PAGES = 10_000
_STRIP_BYTES = 2**18
_FAR = 2**15  # a maker note behind the pixels: a block of EXIF would be as large as the file


def parse(data) -> Kind:
    """The kind of a TIFF's first page.

    Raises:
        ValueError: saying why it cannot be read.
    """
    order, big, at = ifd.read_start(data)
    fields, following = ifd.read_tree(data, order, big, at)
    page = _Page(fields, order)
    page.require_supported()
    page.require_data(data)
    colors, space = _KINDS[page.photometric]
    kind = Kind("TIFF", page.width, page.height, 1 if space == "GRAY" else 3)
    kind.channels += page.alpha is not None
    kind.bits = 16 if page.bits == 16 and page.photometric != _PALETTE else 8
    kind.colors, kind.layout = space, page
    if following:
        pages = ifd.count_directories(data, order, big, at, _MOST_PAGES)
        more = "at least " * (pages == _MOST_PAGES)
        if pages > 1:
            kind.notes.append(f"only the first of its {more}{pages} frames or pages is restored")
    lost = page.samples - colors - (page.alpha is not None)
    if lost:
        kind.notes.append(
            f"only the first {page.samples - lost} of its {page.samples} channels are restored"
        )
    if space in ("CMYK", "Lab "):
        kind.notes.append(f"{'CMYK' if space == 'CMYK' else 'L*a*b*'}, converted to RGB")
    _sort(kind, fields, order)
    return kind


class _Page:
    """What a directory says about pixels.

    Attributes:
        width, height, bits, samples, photometric, compression: as in the file.
        planar: whether each channel is stored apart.
        alpha: the channel that is alpha, or None.
        premultiplied: whether colours are multiplied by it.
        palette: uint16 [3, colours] or None.
    """

    def __init__(self, fields: list[ifd.Field], order: str):
        self._fields, self._order = fields, order
        self.width, self.height = self._number(_WIDTH), self._number(_HEIGHT)
        self._all_bits = self._numbers(_BITS) or (1,)
        self.bits = self._all_bits[0]
        self.samples = self._number(_SAMPLES, 1)
        self.photometric = self._number(_PHOTOMETRIC, -1)
        self.compression = self._number(_COMPRESSION, 1)
        self.planar = self._number(_PLANAR, 1) == 2 and self.samples > 1
        self.palette = None
        colors = _KINDS.get(self.photometric, (0, ""))[0]
        kinds = self._numbers(_EXTRA_SAMPLES)
        if not kinds and self.samples == colors + 1:
            kinds = (2,)  # as files without the tag are read everywhere
        found = [colors + i for i, kind in enumerate(kinds) if kind in (1, 2)]
        self.alpha = found[0] if found and found[0] < self.samples else None
        self.premultiplied = self.alpha is not None and kinds[self.alpha - colors] == 1

    def _numbers(self, tag: int) -> tuple:
        field = ifd.find(self._fields, tag)
        return field.numbers(self._order) if field else ()

    def _number(self, tag: int, default: int = 0) -> int:
        return int((self._numbers(tag) or (default,))[0])

    def require_supported(self) -> None:
        """Raises ValueError by the name of what is not supported."""
        formats = {1: "", 2: "signed", 3: "floating-point", 4: "", 5: "complex", 6: "complex"}
        for number in self._numbers(_SAMPLE_FORMAT) or (1,):
            if name := formats.get(number, "unknown"):
                raise Unsupported(
                    f"{self.bits} bits a channel, {name}; unsigned ones of 8 and 16 can be restored"
                )
        few = self.photometric in (*_GRAYS, _PALETTE)
        if self.bits not in ((1, 2, 4, 8, 16) if few else (8, 16)):
            raise Unsupported(f"{self.bits} bits a channel; 8 and 16 can be restored")
        if len(set(self._all_bits)) > 1:
            bits = ", ".join(map(str, self._all_bits[:8]))
            raise Unsupported(f"channels of {bits} bits; they must be of one depth")
        if self.photometric not in _KINDS:
            name = _UNSUPPORTED.get(self.photometric, f"photometric kind {self.photometric}")
            raise Unsupported(f"{name} cannot be read")
        if self.photometric == _CMYK and self._number(_INKS, 1) != 1:
            raise Unsupported("inks other than CMYK cannot be read")
        if self.photometric == _PALETTE:
            field = ifd.find(self._fields, 320)
            if field is None or len(self._numbers(320)) != 3 * 2**self.bits:
                raise ValueError("a palette without colours")
            self.palette = np.reshape(self._numbers(320), (3, -1)).astype(np.uint16)
        if self.compression not in _COMPRESSIONS:
            name = _NAMES.get(self.compression, f"number {self.compression}")
            raise Unsupported(f"compression {name} cannot be read")
        if self.photometric == _YCBCR and self.compression != _JPEG:
            if self._numbers(530) != (1, 1):
                raise Unsupported("coarser chroma (YCbCr) without JPEG cannot be read")
            if self.bits != 8:
                raise Unsupported(f"YCbCr of {self.bits} bits cannot be read")
        if self.samples < _KINDS[self.photometric][0]:
            raise Unsupported(f"{self.samples} channels are too few for its colours")
        if self._number(32997, 1) != 1:
            raise Unsupported("a volume cannot be read")
        if not self.width or not self.height:
            raise ValueError("its size is not declared")

    def require_data(self, data) -> None:
        """Raises ValueError if the file cannot hold the pixels that it declares."""
        places, sizes = self._segments()
        whole = self._count() <= len(places) == len(sizes)
        if not whole or not all(places) or not all(sizes):
            raise ValueError("parts of it have no data")
        if max(map(sum, zip(places, sizes, strict=True))) > len(data):
            raise ValueError("cut")
        stored = sum(sizes)
        row = (self.width * self.bits * (1 if self.planar else self.samples) + 7) // 8
        whole = row * self.height * (self.samples if self.planar else 1)
        if (
            whole > _COMPRESSIONS[self.compression] * stored
            # A block of 64 values takes a bit at least, and so does a line of a fax.
            or (self.compression == _JPEG and self.width * self.height > 64 * 8 * stored)
            or (self.compression in _FAX and self.height > 8 * stored)
        ):
            raise ValueError(
                f"{stored} bytes cannot hold the {self.width}x{self.height} it declares"
            )

    def _count(self) -> int:
        """How many pieces there must be."""
        across, down = self._number(_TILE_WIDTH), self._number(_TILE_HEIGHT)
        if not self._numbers(_TILES):
            across, down = self.width, min(self._number(_ROWS, 2**32 - 1), self.height)
        planes = self.samples if self.planar else 1
        return -(-self.width // across) * -(-self.height // down) * planes

    def unpacked(self, data: bytes) -> bytes:
        """The file with strips that are not compressed, and of the right size: some writers fill
        the last one up, which tifffile refuses.

        Raises:
            RuntimeError, KeyError, ValueError: if they are damaged, or of another kind.
        """
        import imagecodecs  # here: a machine that trains from JPEGs alone does without

        unpack = {
            **dict.fromkeys(_DEFLATE, lambda piece, size: inflate(piece, size + 2**24)),
            32773: lambda piece, size: imagecodecs.packbits_decode(piece),
        }[self.compression]
        row = (self.width * self.bits * (1 if self.planar else self.samples) + 7) // 8
        rows = min(self._number(_ROWS, 2**32 - 1), self.height)
        strips = -(-self.height // rows)
        layout, places, sizes = ifd.Layout(self._order), [], []
        for i, (place, size) in enumerate(zip(*self._segments(), strict=True)):
            needed = row * min(rows, self.height - i % strips * rows)
            strip = unpack(data[place : place + size], needed)[:needed]
            places.append(layout.place(strip))
            sizes.append(len(strip))
        fields = [f for f in self._fields if f.tag in _LAYOUT and f.tag not in _STORAGE]
        for tag, numbers in ((_COMPRESSION, (1,)), (_STRIPS, places), (_STRIP_SIZES, sizes)):
            value = struct.pack(f"{self._order}{len(numbers)}I", *numbers)
            fields.append(ifd.Field(tag, 4, len(numbers), value))
        return ifd.joined(layout.finish(layout.directory(ifd.readable(fields))))

    def _segments(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Places and sizes of the pieces in which the pixels are stored."""
        return (
            self._numbers(_TILES) or self._numbers(_STRIPS),
            self._numbers(_TILE_SIZES) or self._numbers(_STRIP_SIZES),
        )

    def jpeg_damage(self, data: bytes) -> str:
        """What is damaged about pieces that are JPEGs, or ""; tifffile would not say."""
        tables = ifd.find(self._fields, _JPEG_TABLES)
        tables = tables.value[:-2] if tables and tables.value else b"\xff\xd8"
        for place, size in zip(*self._segments(), strict=True):
            piece = tables + data[place + 2 : place + size]
            try:
                _, _, space, _ = simplejpeg.decode_jpeg_header(piece)
                simplejpeg.decode_jpeg(piece, {"Gray": "GRAY", "CMYK": "CMYK"}.get(space, "RGB"))
            except ValueError as error:
                return str(error)
        return ""


def _sort(kind: Kind, fields: list[ifd.Field], order: str) -> None:
    """Puts each field where a Kind has a place for it."""
    kept, lost = [], []
    for field in fields:
        if field.tag in _LAYOUT:
            continue
        if field.tag in (_LAYERS, _SUBIFDS, _TRANSFER):
            names = {_LAYERS: "layers", _SUBIFDS: "further pictures", _TRANSFER: "TransferFunction"}
            lost.append(names[field.tag])
        elif field.value is None or field.type in ifd.BIG_SIZES:
            lost.append(f"tag {field.tag} (damaged)")
        elif field.tag == _XMP:
            kind.xmp = field.value
        elif field.tag == _ICC:
            kind.icc_profile = field.value
        elif field.tag in (_IPTC, _PHOTOSHOP):
            kind.extras.append(Extra("", field.tag, field))
        else:
            kept.append(field)
    by_tag = {extra.key: extra.data.value for extra in kind.extras}
    resources = by_tag.get(_PHOTOSHOP, b"")
    if _iptc_of(resources) is None:
        resources += _resource(by_tag.get(_IPTC))
    if resources:
        kind.iptc = b"Photoshop 3.0\0" + resources
    kind.dpi = dpi_of(fields, order)
    kind.orientation = orientation_of(fields, order)
    if kind.extras or any(field.tag not in _RESOLUTION for field in kept):
        note = ifd.find(kept, ifd.EXIF, ifd.MAKER_NOTE)
        if note and note.at > _FAR:
            kind.extras.append(Extra("place of the maker note", ifd.MAKER_NOTE, note))
            note = None
        layout = ifd.Layout(order, note)
        kind.exif = ifd.joined(layout.finish(layout.directory(ifd.readable(kept))))
    if lost:
        kind.notes.append(f"{', '.join(dict.fromkeys(lost))} not kept")


def _resource(iptc: bytes | None) -> bytes:
    """IPTC as a resource of Photoshop, as JPEGs have it."""
    if not iptc:
        return b""
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)


def _iptc_of(resources: bytes) -> bytes | None:
    """The IPTC among resources of Photoshop."""
    at = 0
    while resources[at : at + 4] == b"8BIM" and at + 12 <= len(resources):
        (number,) = struct.unpack_from(">H", resources, at + 4)
        name = resources[at + 6] + 1
        start = at + 6 + name + name % 2 + 4
        (size,) = struct.unpack(">I", resources[start - 4 : start].rjust(4, b"\0"))
        if number == 0x0404:
            return resources[start : start + size]
        at = start + size + size % 2
    return None


def decode(kind: Kind, data: bytes) -> tuple[np.ndarray, str]:
    """Pixels [height, width, channels] as stored, and what is damaged about them, or "".

    Raises:
        ValueError: if they are damaged.
    """
    page = kind.layout
    damage = _fax_damage(data) if page.compression in _FAX else ""
    damage = page.jpeg_damage(data) if page.compression == _JPEG else damage
    try:
        samples = _samples(data)
    except RuntimeError:
        samples = _samples(page.unpacked(data))
    if page.planar:
        samples = np.moveaxis(samples[..., 0], 0, -1)
    samples = samples.reshape(page.height, page.width, page.samples)
    colors, dtype = _KINDS[page.photometric][0], np.uint16 if page.bits == 16 else np.uint8
    samples = samples.astype(dtype, copy=False)
    alpha = samples[..., page.alpha :][..., :1] if page.alpha is not None else samples[..., :0]
    pixels = samples[..., :colors]
    if page.premultiplied and page.photometric != _PALETTE:
        pixels = straight(np.concatenate([pixels, alpha], axis=-1))[..., :-1]
    pixels = _as_shown(page, pixels, kind.icc_profile)
    if not alpha.size:
        return pixels, damage
    if page.bits < 8:
        alpha = alpha * (255 // (2**page.bits - 1))
    return np.concatenate([pixels, alpha.astype(pixels.dtype)], axis=-1), damage


def _samples(data: bytes) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return file.pages[0].asarray(squeeze=False)


def _as_shown(page: _Page, pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Gray or RGB [height, width, 1 or 3], uint8 or uint16, of channels of colour."""
    if page.photometric in _GRAYS:
        if page.bits < 8:
            pixels = pixels * np.uint8(255 // (2**page.bits - 1))
        return np.iinfo(pixels.dtype).max - pixels if page.photometric == 0 else pixels
    if page.photometric == _PALETTE:
        # Of 16 bits; some writers mean 8.
        shift = 8 if page.palette.max() > 255 else 0
        return (page.palette >> shift).astype(np.uint8).T[pixels[..., 0]]
    if page.photometric == _CMYK:
        return rgb_of_cmyk(pixels, profile)
    if page.photometric in (_CIELAB, _ICCLAB):
        return rgb_of_lab(_lab(pixels, page.photometric == _CIELAB), pixels.dtype)
    if page.photometric == _YCBCR and page.compression != _JPEG:
        y, cb, cr = np.moveaxis(pixels.astype(np.float32), -1, 0)
        rgb = [y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)]
        rgb = np.stack([*rgb, y + 1.772 * (cb - 128)], axis=-1)
        return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return pixels


def _lab(pixels: np.ndarray, signed: bool) -> np.ndarray:
    """L*, a* and b* of samples; a* and b* are signed, or offset as ICC.1's encoding has them."""
    wide = pixels.dtype == np.uint16
    lightness = pixels[..., :1] * np.float32(100 / ((65535 if signed else 65280) if wide else 255))
    ab = pixels[..., 1:]
    if signed:
        ab = ab.view(np.int16 if wide else np.int8).astype(np.float32)
    else:
        ab = ab.astype(np.float32) - (32768 if wide else 128)
    return np.concatenate([lightness, ab / (256 if wide else 1)], axis=-1)


def _fax_damage(data: bytes) -> str:
    """What libtiff complains of in a fax, or "".

    It goes on after wrong code words, and tells of them on standard error alone, which only in a
    process of its own can be held back.
    """
    code = "import io, sys, PIL.Image as i; i.open(io.BytesIO(sys.stdin.buffer.read())).load()"
    result = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True)
    return result.stderr.decode(errors="replace").strip().split("\n")[-1].strip().rstrip(".")


def encode(picture, quality: int) -> tuple[list[tuple[int, bytes]], list[str]]:
    """The file of uint8 or uint16 [height, width] or [height, width, 2 to 4] in (place, bytes)."""
    exif = Exif(picture.exif) if picture.exif else None
    order = exif.order if exif else "<"
    fields = {f.tag: f for f in exif.fields if f.tag not in _LAYOUT} if exif else {}
    notes = ["the EXIF's thumbnail dropped"] if exif and exif.following else []

    def add(tag, type, *numbers):
        code = {3: "H", 4: "I", 5: "II"}[type]
        values = numbers if type != 5 else [n for v in numbers for n in (round(v * 10_000), 10_000)]
        packed = struct.pack(order + (code * len(numbers)), *values)
        fields[tag] = ifd.Field(tag, type, len(numbers), packed)

    def add_bytes(tag, type, value):
        fields[tag] = ifd.Field(tag, type, len(value), value)

    if picture.dpi and X_RESOLUTION not in fields:
        add(X_RESOLUTION, 5, picture.dpi[0])
        add(Y_RESOLUTION, 5, picture.dpi[1])
        add(RESOLUTION_UNIT, 3, 2)
    if picture.xmp:
        add_bytes(_XMP, 1, picture.xmp)
    if picture.icc_profile:
        add_bytes(_ICC, 7, picture.icc_profile)
    own = {extra.key: extra.data for extra in picture.extras}
    note = own.pop(ifd.MAKER_NOTE, None)
    if picture.iptc and not own:
        resources = picture.iptc.removeprefix(b"Photoshop 3.0\0")
        add_bytes(_PHOTOSHOP, 7, resources)
        if iptc := _iptc_of(resources):
            add_bytes(_IPTC, 7, iptc)
    fields |= own if picture.iptc else {}
    height, width, *channels = picture.pixels.shape
    samples = channels[0] if channels else 1
    add(_WIDTH, 4, width)
    add(_HEIGHT, 4, height)
    add(_BITS, 3, *[8 * picture.pixels.itemsize] * samples)
    add(_COMPRESSION, 3, _DEFLATE[0])
    add(_PHOTOMETRIC, 3, 1 if samples < 3 else 2)
    add(_SAMPLES, 3, samples)
    add(_PLANAR, 3, 1)
    add(_PREDICTOR, 3, 2)
    if samples in (2, 4):
        add(_EXTRA_SAMPLES, 3, 2)
    rows = max(1, _STRIP_BYTES // picture.pixels[0].nbytes)
    add(_ROWS, 4, rows)
    layout = ifd.Layout(order, note or ifd.find([*fields.values()], ifd.EXIF, ifd.MAKER_NOTE))
    strips = [_strip(picture.pixels[i : i + rows], order) for i in range(0, height, rows)]
    add(_STRIP_SIZES, 4, *map(len, strips))
    add(_STRIPS, 4, *map(layout.place, strips))
    if layout.end > 2**32 - 2**20:
        raise ValueError("larger than 4 GB")
    return layout.finish(layout.directory(ifd.readable([*fields.values()]))), notes


def _strip(pixels: np.ndarray, order: str) -> bytes:
    """Rows as deflated differences of neighbours."""
    differences = pixels.copy()
    differences[:, 1:] -= pixels[:, :-1]
    return zlib.compress(differences.astype(differences.dtype.newbyteorder(order)), 3)
