"""Metadata come back byte for byte; what cannot be kept is said."""

import io
import struct
import zlib

import numpy as np
import pytest
import simplejpeg
from making import (
    chunk,
    chunks,
    directories,
    numbers,
    opaque,
    png,
    read_directories,
    riff,
    segment,
    segments,
    text,
    tiff,
)
from PIL import Image, ImageCms

from srn_tf.images.picture import Picture
from srn_tf.images.read import read_picture
from srn_tf.images.write import write_picture

WIDTH, HEIGHT = 24, 16
MAKE, ORIENTATION, EXIF, GPS, INTEROP, MAKER_NOTE = 271, 274, 0x8769, 0x8825, 0xA005, 0x927C
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description xmlns:t='http://ns.adobe.com/tiff/1.0/'"
    b" xmlns:exif=\"http://ns.adobe.com/exif/1.0/\" t:Orientation = '6' t:ImageWidth='24'"
    b' exif:PixelXDimension = "24"><t:ImageLength >16</t:ImageLength></rdf:Description></x:xmpmeta>'
)


# Maker notes, by how they begin and from where their places count; from the public descriptions of
# the ExifTool and Exiv2 projects. {make: (beginning, byte order or that of the EXIF, whether places
# count from the start of the EXIF, else from the byte of the note given)}
MAKER_NOTES = {
    b"Canon": (b"", None, True),
    b"NIKON": (b"Nikon\0\x01\0", None, True),
    b"NIKON CORPORATION": (b"Nikon\0\x02\x10\0\0", "tiff>", 10),
    b"OLYMPUS OPTICAL": (b"OLYMP\0\x01\0", None, True),
    b"OLYMPUS CORPORATION": (b"OLYMPUS\0II\x03\0", "<", 0),
    b"FUJIFILM": (b"FUJIFILM\x0c\0\0\0", "<", 0),
    b"Panasonic": (b"Panasonic\0\0\0", None, True),
    b"PENTAX": (b"AOC\0MM", ">", True),
    b"PENTAX K": (b"PENTAX \0MM", ">", 0),
    b"SONY": (b"SONY DSC \0\0\0", None, True),
    b"SIGMA": (b"SIGMA\0\0\0\x01\0", None, True),
    b"CASIO": (b"QVC\0\0\0", ">", True),
    b"Apple": (b"Apple iOS\0\0\x01MM", ">", 0),
    b"RICOH": (b"Ricoh\0\0\0", None, True),
    b"LEICA": (b"LEICA\0\0\0", None, True),
    b"Minolta": (b"", None, True),
}


def maker_note(rng, order: str, make: bytes):
    """A maker note as a function of its place in the EXIF."""
    start, own_order, base = MAKER_NOTES[make]
    values = [bytes(rng.integers(1, 256, int(rng.integers(5, 60)), np.uint8)) for _ in range(4)]

    def at(place):
        note = bytearray(start)
        inner = own_order or order
        if inner.startswith("tiff"):
            inner = inner[4:]
            note += b"MM\0*" + struct.pack(">I", 8)
        note += struct.pack(inner + "H", len(values))
        data = len(note) + 12 * len(values) + 4
        for i, value in enumerate(values):
            offset = data + sum(map(len, values[:i])) + (place if base is True else -base)
            note += struct.pack(inner + "HHII", i + 1, 7, len(value), offset)
        return bytes(note + bytes(4) + b"".join(values))

    return at


def block(seed: int, orientation: int = 1, size=(4000, 3000)) -> bytes:
    """EXIF as cameras write it: types, texts and tags that readers do not expect, and a note."""
    rng = np.random.default_rng(seed)
    order = "<>"[seed % 2]
    make = list(MAKER_NOTES)[seed % len(MAKER_NOTES)]
    exif = {
        0x829A: numbers(order, 5, 1, int(rng.integers(1, 4000))),
        0x9000: opaque(b"0231"),
        0x9286: opaque(b"UNICODE\0" + "Grüße 日本".encode("utf-16-le")),
        0xA002: numbers(order, (3, 4)[seed % 3 == 0], size[0]),
        0xA003: numbers(order, (3, 4)[seed % 3 == 0], size[1]),
        0xA300: numbers(order, (1, 7)[0], 3),  # FileSource, as GoPro types it
        0xA434: text("Objektiv für Müller".encode("latin-1")),
        0xFDE8: text(bytes(rng.integers(1, 256, 37, np.uint8))),  # a tag of nobody
        MAKER_NOTE: (7, 0, maker_note(rng, order, make)),
        INTEROP: {1: text(b"R98"), 2: opaque(b"0100")},
    }
    fields = {
        270: text("日本".encode()),
        MAKE: text(make),
        ORIENTATION: numbers(order, 3, orientation),
        282: numbers(order, 5, 72, 1),
        283: numbers(order, 5, 72, 1),
        296: numbers(order, 3, 2),
        315: text("Jörg Müller".encode(("utf-8", "latin-1")[seed % 2])),
        33432: text("© 2024 Müller".encode()),
        50341: opaque(b"PrintIM\0" + bytes(rng.integers(0, 256, 20, np.uint8))),
        EXIF: exif,
        GPS: {1: text(b"N"), 2: numbers(order, 5, 48, 1, 8, 1, 0, 1), 29: text(b"2024:05:06")},
    }
    return directories(order, fields)


def pixels(seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.dstack([10 * x, 15 * y, 5 * x + 5 * y + seed % 30]).astype(np.uint8)


def encoded(format: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels()).save(file, format, **options)
    return file.getvalue()


def with_exif(extension: str, exif: bytes) -> bytes:
    """A picture with a block of EXIF, which nobody has read on its way."""
    if extension == ".jpg":
        data = encoded("JPEG")
        return data[:20] + segment(0xE1, b"Exif\0\0" + exif) + data[20:]
    if extension == ".png":
        data = encoded("PNG")
        return data[:33] + chunk(b"eXIf", exif) + data[33:]
    data = encoded("WEBP", lossless=True)
    body = data[12:] + struct.pack("<4sI", b"EXIF", len(exif)) + exif + b"\0" * (len(exif) % 2)
    size = struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", HEIGHT - 1)[:3]
    body = struct.pack("<4sIB3x", b"VP8X", 10, 8) + size + body
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def exif_of(data: bytes) -> bytes | None:
    if data.startswith(b"\xff\xd8"):
        found = [c[6:] for m, c in segments(data) if m == 0xE1 and c.startswith(b"Exif\0\0")]
    elif data.startswith(b"\x89PNG"):
        found = [content for name, content in chunks(data) if name == b"eXIf"]
    else:
        found = [content for name, content in riff(data) if name == b"EXIF"]
    return found[0] if found else None


def restored(path, extension: str | None = None) -> tuple[bytes, tuple[str, ...]]:
    """The file as it is written again, and all notes."""
    picture = read_picture(path)
    target = path.with_name(f"again{extension or path.suffix}")
    notes = write_picture(target, picture)
    return target.read_bytes(), picture.notes + notes


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
@pytest.mark.slow
def test_200_blocks_of_exif_come_back_byte_for_byte(tmp_path, extension):
    for seed in range(200):
        exif = block(seed)
        (tmp_path / f"a{extension}").write_bytes(with_exif(extension, exif))
        data, notes = restored(tmp_path / f"a{extension}")
        assert exif_of(data) == exif, f"block {seed}"
        assert notes == (), f"block {seed}"


@pytest.mark.parametrize("orientation", range(2, 9))
def test_of_a_turned_picture_only_orientation_and_sizes_change(tmp_path, orientation):
    turned = orientation > 4
    for seed in range(len(MAKER_NOTES)):
        exif = block(seed, orientation, (WIDTH, HEIGHT))
        size = (HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT)
        (tmp_path / "a.jpg").write_bytes(with_exif(".jpg", exif))
        data, notes = restored(tmp_path / "a.jpg")
        assert exif_of(data) == block(seed, 1, size), f"block {seed}"
        assert notes == ()


@pytest.mark.slow
def test_mutated_exif_comes_back_or_its_loss_is_said(tmp_path):
    rng = np.random.default_rng(0)
    kept = 0
    for seed in range(200):
        exif = bytearray(block(seed))
        for at in rng.integers(8, len(exif), 3):
            exif[at] = int(rng.integers(256))
        (tmp_path / "a.png").write_bytes(with_exif(".png", bytes(exif)))
        data, notes = restored(tmp_path / "a.png")
        after, turned = exif_of(data), Image.open(io.BytesIO(data)).size != (WIDTH, HEIGHT)
        kept += after == exif
        assert after == exif or turned or any("exif dropped" in note for note in notes)
    assert kept > 150


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize(
    ("exif", "reason"),
    [
        (b"garbage garbage", "no TIFF structure"),
        (b"II*\0\xff\xff\0\0" + bytes(20), "a directory outside the data"),
        (b"II*\0\x08\0\0\0\xff\x0f" + bytes(50), "a directory of 4095 entries"),
        (directories("<", {MAKE: text(b"Acme"), 282: text(b"72")}), "tag 282 is no number"),
    ],
)
def test_damaged_exif_is_dropped_and_the_picture_restored(tmp_path, extension, exif, reason):
    (tmp_path / f"a{extension}").write_bytes(with_exif(extension, exif))
    picture = read_picture(tmp_path / f"a{extension}")
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3)
    assert picture.notes == (f"exif dropped, as it is damaged ({reason})",)
    data, _ = restored(tmp_path / f"a{extension}")
    assert exif_of(data) is None


def test_of_damaged_exif_the_turn_is_still_taken(tmp_path):
    exif = directories("<", {ORIENTATION: numbers("<", 3, 6), 282: text(b"72")})
    (tmp_path / "a.jpg").write_bytes(with_exif(".jpg", exif))
    assert read_picture(tmp_path / "a.jpg").pixels.shape == (WIDTH, HEIGHT, 3)


def thumbnail(small: bytes):
    """The directory of a thumbnail, as a function of its place."""

    def at(place):
        fields = {259: (3, 6), 513: (4, place + 2 + 12 * 3 + 4), 514: (4, len(small))}
        packed = struct.pack("<H", 3)
        for tag, (type, value) in fields.items():
            packed += struct.pack("<HHII", tag, type, 1, value)
        return packed + bytes(4) + small

    return at


def test_a_thumbnail_is_turned_in_its_place_or_goes(tmp_path):
    def exif(orientation, small):
        fields = {ORIENTATION: numbers("<", 3, orientation), MAKE: text(b"Camera")}
        return directories("<", fields, following=thumbnail(small))

    small = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels()[::2, ::2]), 85)
    for orientation, kept in ((1, True), (6, True), (6, False)):
        before = exif(orientation, small.ljust(3000, b"\0") if kept else b"no picture")
        (tmp_path / "a.jpg").write_bytes(with_exif(".jpg", before))
        data, notes = restored(tmp_path / "a.jpg")
        after = exif_of(data)
        if orientation == 1:
            assert after == before
            continue
        assert len(after) == len(before)
        (following,) = struct.unpack_from("<I", after, 8 + 2 + 12 * 2)
        assert bool(following) == kept
        assert notes == (() if kept else ("the EXIF's thumbnail dropped",))
        if kept:
            place, size = struct.unpack_from("<I8xI", after, following + 2 + 12 + 8)
            turned = simplejpeg.decode_jpeg(after[place : place + size])
            expected = np.rot90(pixels()[::2, ::2], -1).astype(int)
            assert turned.shape == expected.shape
            assert np.abs(turned - expected).mean() < 12


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
def test_xmp_loses_its_orientation_and_its_sizes_are_exchanged(tmp_path, extension):
    exif = directories("<", {ORIENTATION: numbers("<", 3, 6), MAKE: text(b"Camera")})
    write_picture(tmp_path / "a.jpg", Picture(pixels(), xmp=XMP, exif=exif))
    data, _ = restored(tmp_path / "a.jpg", extension)
    assert Image.open(io.BytesIO(data)).size == (HEIGHT, WIDTH)
    assert b"Orientation" not in read_picture(tmp_path / f"again{extension}").xmp
    expected = XMP.replace(b" t:Orientation = '6'", b"").replace(b"'24'", b"'16'")
    expected = expected.replace(b'"24"', b'"16"').replace(b">16<", b">24<")
    assert expected in data


def test_an_orientation_of_xmp_alone_turns(tmp_path):
    for packet in (XMP, XMP.decode().encode("utf-16-le")):
        write_picture(tmp_path / "a.tif", Picture(pixels(), xmp=packet))
        picture = read_picture(tmp_path / "a.tif")
        assert picture.pixels.shape == (WIDTH, HEIGHT, 3)
        assert b"Orientation" not in picture.xmp.replace(b"\0", b"")


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize(
    ("orientation", "shape"), [(1, (HEIGHT, WIDTH, 3)), (5, (WIDTH, HEIGHT, 3))]
)
def test_where_xmp_differs_from_exif_exif_counts(tmp_path, extension, orientation, shape):
    exif = directories("<", {ORIENTATION: numbers("<", 3, orientation)})
    path = tmp_path / f"a{extension}"
    write_picture(path, Picture(pixels(), exif=exif, xmp=XMP, lossless=True))
    picture = read_picture(path)
    assert picture.pixels.shape == shape
    if extension != ".jpg":
        expected = pixels() if orientation == 1 else pixels().swapaxes(0, 1)
        np.testing.assert_array_equal(picture.pixels, expected)


# TIFF

TIFF_FIELDS = {
    270: text("日本".encode()),
    MAKE: text(b"Camera"),
    282: numbers(">", 5, 300, 1),
    283: numbers(">", 5, 300, 1),
    296: numbers(">", 3, 2),
    315: text("Jörg".encode("latin-1")),
    700: (1, len(XMP) - 19, XMP.replace(b" t:Orientation = '6'", b"")),
    33432: text("© 2024".encode()),
    33723: (4, 4, b"\x1c\2x\0\5Hello\0\0\0\0\0\0"),
    34377: opaque(b"8BIM\4\4\0\0\0\0\0\x0a\x1c\2x\0\5Hello"),
    34675: opaque(SRGB),
    50341: opaque(b"PrintIM\0"),
    65000: (12, 1, struct.pack(">d", 1.5)),
}


def tiff_with_metadata(bits: int, **fields) -> bytes:
    order = ">"
    samples = pixels().astype(np.uint16) * (257 if bits == 16 else 1)
    strip = samples.astype(">u2" if bits == 16 else np.uint8).tobytes()
    layout = {
        256: numbers(order, 3, WIDTH),
        257: numbers(order, 3, HEIGHT),
        258: numbers(order, 3, bits, bits, bits),
        262: numbers(order, 3, 2),
        277: numbers(order, 3, 3),
        278: numbers(order, 3, HEIGHT),
    }
    rng = np.random.default_rng(bits)
    inner = {
        0x829A: numbers(order, 5, 1, 60),
        0xA300: numbers(order, 1, 3),
        MAKER_NOTE: (7, 0, maker_note(rng, order, b"Canon")),
        INTEROP: {1: text(b"R98")},
    }
    own = {EXIF: inner, GPS: {1: text(b"N")}}
    return tiff(order, layout | TIFF_FIELDS | own | fields.get("more", {}), [strip])


LAYOUT = {256, 257, 258, 259, 262, ORIENTATION, 273, 277, 278, 279, 284, 317}


@pytest.mark.parametrize("bits", [8, 16])
def test_all_tags_of_a_tiff_keep_type_and_value(tmp_path, bits):
    before = tiff_with_metadata(bits)
    (tmp_path / "a.tif").write_bytes(before)
    after, notes = restored(tmp_path / "a.tif")
    assert notes == ()
    one, other = read_directories(before), read_directories(after)
    for tags in (one, other):
        for tag in LAYOUT:
            tags.pop((tag,), None)
    assert other == one
    # What the note's places point to, from the start of the file, is there.
    note = one[EXIF, MAKER_NOTE][2]
    assert after.index(note) == before.index(note)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
def test_all_tags_before_and_after_are_the_same(tmp_path, extension):
    """As two listings of a program that shows all tags: path, type, count and value of each."""

    def tags(data):
        block = data if extension == ".tif" else exif_of(data)
        found = read_directories(block)
        return {path: field for path, field in found.items() if path[0] not in LAYOUT}

    for seed in range(len(MAKER_NOTES)):
        before = with_exif(extension, block(seed)) if extension != ".tif" else tiff_of_block(seed)
        (tmp_path / f"a{extension}").write_bytes(before)
        after, notes = restored(tmp_path / f"a{extension}")
        assert notes == ()
        assert tags(after) == tags(before), f"block {seed}"
        assert len(tags(after)) > 20


def tiff_of_block(seed: int) -> bytes:
    """A TIFF with the tags of a block, its maker note where the block has it."""
    order, exif = "<>"[seed % 2], block(seed)
    layout = {256: WIDTH, 257: HEIGHT, 262: 2, 277: 3, 278: HEIGHT}
    fields = {tag: numbers(order, 3, value) for tag, value in layout.items()}
    fields[258] = numbers(order, 3, 8, 8, 8)
    inner = {EXIF: {}, GPS: {}}
    for path, field in read_directories(exif).items():
        place = inner.setdefault(path[0], {}) if len(path) > 1 else fields
        place = place.setdefault(path[1], {}) if len(path) > 2 else place
        place[path[-1]] = field
    return tiff(order, fields | inner, [pixels().tobytes()])


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({37724: opaque(b"Adobe Photoshop Document Data Block")}, "layers not kept"),
        ({330: numbers(">", 4, 8)}, "further pictures not kept"),
        ({301: numbers(">", 3, *range(256))}, "TransferFunction not kept"),
        ({65001: (2, 99_999, struct.pack(">I", 8))}, "not kept"),
    ],
)
def test_what_of_a_tiff_is_not_kept_is_said(tmp_path, extra, said):
    data = tiff_with_metadata(8, more=extra)
    if 65001 in extra:  # beyond the end of the file
        data = data.replace(
            struct.pack(">HHI", 65001, 2, 99_999), struct.pack(">HHI", 65001, 2, 2**30)
        )
    (tmp_path / "a.tif").write_bytes(data)
    assert said in "\n".join(read_picture(tmp_path / "a.tif").notes)


def test_exif_and_iptc_go_from_tiff_to_jpeg_and_back(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff_with_metadata(8))
    data, notes = restored(tmp_path / "a.tif", ".jpg")
    assert notes == ()
    assert (0xED, b"Photoshop 3.0\0" + TIFF_FIELDS[34377][2]) in segments(data)
    tags = read_directories(exif_of(data))
    before = read_directories((tmp_path / "a.tif").read_bytes())
    apart = {*LAYOUT, 700, 33723, 34377, 34675}
    assert {k: v for k, v in tags.items() if k != (ORIENTATION,)} == {
        k: v for k, v in before.items() if k[0] not in apart
    }
    (tmp_path / "b.jpg").write_bytes(data)
    data, notes = restored(tmp_path / "b.jpg", ".tif")
    assert notes == ()
    back = read_directories(data)
    assert back[(33723,)] == (7, 10, b"\x1c\2x\0\5Hello")
    assert {k: v for k, v in back.items() if k[0] not in apart} == {
        k: v for k, v in before.items() if k[0] not in apart
    }


def test_a_second_page_is_told_of_and_pages_are_not_counted_without_end(tmp_path):
    one = tiff(
        "<",
        {
            256: numbers("<", 3, 8),
            257: numbers("<", 3, 8),
            258: numbers("<", 3, 8),
            262: numbers("<", 3, 1),
            277: numbers("<", 3, 1),
        },
        [bytes(64)],
    )
    (start,) = struct.unpack_from("<I", one, 4)
    (count,) = struct.unpack_from("<H", one, start)
    directory = one[start : start + 2 + 12 * count]
    size = len(directory) + 4
    chain = one[:start] + b"".join(
        directory + struct.pack("<I", start + size * (i + 1) if i < 59_999 else 0)
        for i in range(60_000)
    )
    (tmp_path / "a.tif").write_bytes(chain)
    assert read_picture(tmp_path / "a.tif").notes == (
        "only the first of its at least 10000 frames or pages is restored",
    )


# PNG

COLORS = [
    (b"gAMA", struct.pack(">I", 100_000)),
    (b"cHRM", struct.pack(">8I", *range(31_000, 39_000, 1000))),
    (b"cICP", b"\x09\x10\0\1"),
    (b"mDCV", bytes(range(24))),
    (b"cLLI", bytes(range(8))),
]
TEXTS = [
    (b"tEXt", "Author\0Jörg".encode("latin-1")),
    (b"zTXt", b"Comment\0\0" + zlib.compress(b"much " * 100)),
    (b"iTXt", "Title\0\0\0de\0Titel\0日本".encode()),
    (b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(b"\niptc\n 3\n1c0278\n")),
    (b"tIME", b"\x07\xe8\5\6\7\x08\x09"),
    (b"prVt", b"safe to copy"),
]


def png_with(*extra, bits: int = 8) -> bytes:
    samples = pixels().astype(np.uint16) * (257 if bits == 16 else 1)
    rows = [row.astype(">u2" if bits == 16 else np.uint8).tobytes() for row in samples]
    return png(WIDTH, HEIGHT, bits, 2, rows, *extra)


@pytest.mark.parametrize("bits", [8, 16])
def test_chunks_of_colours_and_texts_come_back(tmp_path, bits):
    kept = [
        *COLORS,
        *TEXTS,
        (b"iCCP", b"mine\0\0" + zlib.compress(SRGB)),
        (b"pHYs", struct.pack(">IIB", 2835, 2836, 1)),
    ]
    lost = [(b"sBIT", b"\x08\x08\x08"), (b"prIV", b"unsafe"), (b"caBX", b"signed"), (b"iDOT", b"1")]
    (tmp_path / "a.png").write_bytes(png_with(*kept, *lost, bits=bits))
    data, notes = restored(tmp_path / "a.png")
    found = [item for item in chunks(data) if item[0] not in (b"IHDR", b"IDAT", b"IEND")]
    assert sorted(found) == sorted(kept)
    assert notes == ("sBIT, prIV, caBX not kept",)
    _, notes = restored(tmp_path / "a.png", ".webp")
    assert "gAMA, cHRM, cICP, mDCV, cLLI, tEXt, zTXt, iTXt, tIME, prVt dropped" in "".join(notes)


def test_raw_profiles_of_exif_and_xmp_get_their_own_chunks(tmp_path):
    def raw(name, data):
        value = f"\n{name}\n{len(data):8}\n{data.hex()}\n".encode()
        return b"zTXt", f"Raw profile type {name}\0\0".encode() + zlib.compress(value)

    exif = block(3, 6, (WIDTH, HEIGHT))
    (tmp_path / "a.png").write_bytes(png_with(raw("APP1", b"Exif\0\0" + exif), raw("xmp", XMP)))
    data, notes = restored(tmp_path / "a.png")
    assert notes == ()
    assert exif_of(data) == block(3, 1, (HEIGHT, WIDTH))
    (packet,) = (content for name, content in chunks(data) if name == b"iTXt")
    assert packet.startswith(b"XML:com.adobe.xmp") and b"Orientation" not in packet


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d + b"tail", "4 bytes behind the picture not kept"),
        (lambda d: d[:-12], "its end is missing"),
        (lambda d: d[:-12] + chunk(b"tEXt", b"a\0b")[:-1] + b"?" + d[-12:], "tEXt (damaged)"),
        (
            lambda d: d[:33] + chunk(b"acTL", struct.pack(">II", 5, 0)) + d[33:],
            "only the first of its 5 frames or pages is restored",
        ),
        (lambda d: d[:33] + chunk(b"iCCP", b"a\0\0garbage") + d[33:], "icc_profile dropped"),
    ],
)
def test_what_of_a_png_is_not_kept_is_said(tmp_path, change, said):
    (tmp_path / "a.png").write_bytes(change(png_with()))
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, pixels())
    assert said in "\n".join(picture.notes)


# JPEG


def test_segments_of_a_jpeg_come_back(tmp_path):
    kept = [
        (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"more"),
        (0xE1, b"FLIR\0heat"),
        (0xE3, b"Meta\0\0of Kodak"),
        (0xEC, b"Ducky\0\1"),
        (0xED, b"Photoshop 3.0\0" + TIFF_FIELDS[34377][2]),
        (0xFE, "Grüße".encode("latin-1")),
        (0xFE, b"a second comment"),
        (0xE2, b"ICC_PROFILE\0\1\1" + SRGB),
    ]
    lost = [(0xE0, b"JFXX\0\x10small"), (0xEB, b"JP\0\1signed")]
    data = encoded("JPEG", dpi=(300, 200))
    data = data[:20] + b"".join(segment(*item) for item in (*kept, *lost)) + data[20:]
    (tmp_path / "a.jpg").write_bytes(data)
    after, notes = restored(tmp_path / "a.jpg")
    found = [item for item in segments(after) if item[0] >= 0xE0]
    assert sorted(found[1:]) == sorted(kept)
    assert found[0] == segments(data)[0]  # the resolution
    assert notes == ("thumbnail (JFXX), content credentials (JUMBF) not kept",)
    _, notes = restored(tmp_path / "a.jpg", ".webp")
    assert "segment APP3, segment APP12, comment dropped, as WEBP has no place" in "".join(notes)


def test_what_is_behind_a_jpeg_is_said(tmp_path):
    data = encoded("JPEG")
    for tail, said in (
        (b"\0\0\0\x18ftypmp42" + bytes(100), "112 bytes behind the picture not kept"),
        (b"\0" * 100, None),
    ):
        (tmp_path / "a.jpg").write_bytes(data + tail)
        assert read_picture(tmp_path / "a.jpg").notes == ((said,) if said else ())


DAMAGES = {
    "closed early": lambda d: d[: len(d) * 2 // 3] + b"\xff\xd9",
    "hole": lambda d: d[: len(d) // 2] + bytes(500) + d[len(d) // 2 + 500 :],
    "small holes": lambda d: d[:2000] + bytes(70) + d[2070:2500] + bytes(70) + d[2570:],
    "gone": lambda d: d[: len(d) // 2] + d[len(d) // 2 + 500 :],
}


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_with_parts_missing_is_refused_or_it_is_said(tmp_path, photo, change, options):
    file = io.BytesIO()
    Image.fromarray(photo[:128, :128]).save(file, "JPEG", **options)
    (tmp_path / "a.jpg").write_bytes(change(file.getvalue()))
    try:
        picture = read_picture(tmp_path / "a.jpg")
    except ValueError as error:  # no table to decode by
        assert "Huffman table" in str(error)
    else:
        assert picture.pixels.shape == (128, 128, 3)
        assert picture.notes[0].startswith("parts of it are missing or damaged (")


@pytest.mark.parametrize("compression", ["jpeg", "group4"])
def test_a_tiff_with_parts_missing_is_restored_and_it_is_said(tmp_path, photo, compression):
    mode = "1" if compression == "group4" else "RGB"
    Image.fromarray(photo[:128, :128]).convert(mode).save(
        tmp_path / "a.tif", compression=compression
    )
    assert read_picture(tmp_path / "a.tif").notes == ()
    data = bytearray((tmp_path / "a.tif").read_bytes())
    tags = read_directories(bytes(data))
    (start,) = struct.unpack("<I", tags[(273,)][2][:4])
    (size,) = struct.unpack("<I", tags[(279,)][2][:4])
    data[start + size // 2 : start + size // 2 + 40] = b"\x5a" * 40
    (tmp_path / "a.tif").write_bytes(data)
    picture = read_picture(tmp_path / "a.tif")
    assert picture.notes[0].startswith("parts of it are missing or damaged (")


# Colour profiles


def test_a_profile_is_checked_against_the_colours_written(tmp_path):
    gray = bytearray(SRGB)
    gray[16:20] = b"GRAY"
    picture = Picture(pixels()[..., 0], icc_profile=bytes(gray))
    assert write_picture(tmp_path / "a.png", picture) == ()
    assert read_picture(tmp_path / "a.png").icc_profile == gray
    (note,) = write_picture(tmp_path / "a.webp", picture)
    assert note == "icc_profile dropped, as it is for GRAY and not for RGB pixels"
    assert read_picture(tmp_path / "a.webp").icc_profile is None
    (tmp_path / "b.png").write_bytes(png_with((b"iCCP", b"a\0\0" + zlib.compress(bytes(gray)))))
    data, notes = restored(tmp_path / "b.png")
    assert notes == ("icc_profile dropped, as it is for GRAY and not for RGB pixels",)
    assert b"iCCP" not in data


def test_a_maker_note_behind_the_pixels_stays_there_in_a_tiff_alone(tmp_path):
    """The maker note of a camera's TIFF lies behind the pixels."""
    strip = pixels().tobytes() + bytes(100_000)
    order = ">"
    note = maker_note(np.random.default_rng(0), order, b"Canon")
    layout = {256: WIDTH, 257: HEIGHT, 258: 8, 262: 2, 277: 3, 278: HEIGHT}
    fields = {tag: numbers(order, 3, value) for tag, value in layout.items()}
    fields[258] = numbers(order, 3, 8, 8, 8)
    own = {MAKE: text(b"Canon"), EXIF: {0x829A: numbers(order, 5, 1, 60), MAKER_NOTE: (7, 0, note)}}
    before = tiff(order, fields | own, [strip])
    (tmp_path / "a.tif").write_bytes(before)
    data, notes = restored(tmp_path / "a.tif")
    value = read_directories(before)[EXIF, MAKER_NOTE][2]
    assert data.index(value) == before.index(value) > 100_000
    assert notes == ()
    data, (said,) = restored(tmp_path / "a.tif", ".jpg")
    assert said == "place of the maker note dropped, as JPEG has no place for it"
    assert read_directories(exif_of(data))[EXIF, MAKER_NOTE][2] == value


def test_exif_of_several_segments_comes_back(tmp_path):
    exif = directories("<", {MAKE: text(b"Camera"), 65000: opaque(bytes(100_000))})
    data = encoded("JPEG")
    parts = [exif[i : i + 65_527] for i in range(0, len(exif), 65_527)]
    parts = b"".join(segment(0xE1, b"Exif\0\0" + part) for part in parts)
    (tmp_path / "a.jpg").write_bytes(data[:20] + parts + data[20:])
    after, notes = restored(tmp_path / "a.jpg")
    assert parts in after
    assert notes == ()
