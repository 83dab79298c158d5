"""Every kind of picture through every reader, against pixels that are known by construction."""

import io
import itertools
import struct

import imagecodecs
import numpy as np
import pytest
from making import chunk, numbers, png, tiff
from PIL import Image, ImageCms

from srn_tf.data.pair_list import PairSource
from srn_tf.evaluation.scores import score
from srn_tf.images.picture import Picture
from srn_tf.images.read import read_kind, read_picture
from srn_tf.images.rgb import read_rgb
from srn_tf.images.write import write_picture

WIDTH, HEIGHT = 24, 16


def plane(bits: int, of) -> np.ndarray:
    """uint16 [HEIGHT, WIDTH]: a ramp in [0, 1] over the picture as samples of some bits."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.rint(of(x / (WIDTH - 1), y / (HEIGHT - 1)) * (2**bits - 1)).astype(np.uint16)


RED, GREEN, BLUE, ALPHA = (
    lambda x, y: x,
    lambda x, y: y,
    lambda x, y: (x + 2 * y) / 3,
    lambda x, y: 0.1 + 0.9 * x * y,
)


def rgb(bits: int) -> np.ndarray:
    return np.dstack([plane(bits, of) for of in (RED, GREEN, BLUE)])


def inks(bits: int) -> tuple[np.ndarray, np.ndarray]:
    """CMYK samples, and the RGB of ideal inks."""
    top = 2**bits - 1
    cmyk = np.dstack([plane(bits, of) for of in (RED, GREEN, BLUE, lambda x, y: x * y / 2)])
    light = 1 - cmyk / top
    return cmyk, np.rint(light[..., :3] * light[..., 3:] * top)


def lab(bits: int, icc: bool) -> tuple[np.ndarray, np.ndarray]:
    """L*a*b* samples, by the matrix of ICC's sRGB profile, of colours not too vivid; and these."""
    expected = np.rint(0.3 * (2**bits - 1) + 0.5 * rgb(bits))
    color = expected / (2**bits - 1)
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    matrix = [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
    xyz = linear @ np.transpose(matrix) / [0.9642, 1.0, 0.8251]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    lightness, ab = 116 * y - 16, np.stack([500 * (x - y), 200 * (y - z)], axis=-1)
    scale, white = (256, 65280 if icc else 65535) if bits == 16 else (1, 255)
    ab = np.rint(ab * scale).astype(np.int64) + (128 * scale if icc else 0)
    samples = np.dstack([np.rint(lightness / 100 * white), ab % 2**bits])
    return samples.astype(np.uint16), expected


def stored(samples: np.ndarray, bits: int, order: str) -> bytes:
    """Rows [height, width, channels] as TIFF and PNG pack them."""
    rows = samples.reshape(samples.shape[0], -1)
    if bits == 16:
        return rows.astype(order + "u2").tobytes()
    if bits == 8:
        return rows.astype(np.uint8).tobytes()
    digits = rows[..., np.newaxis] >> np.arange(bits - 1, -1, -1) & 1
    return np.packbits(digits.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def tiff_file(samples, bits, photometric, order="<", planar=False, extra=(), fields=(), strips=2):
    """A TIFF of samples [height, width, channels], in strips."""
    height, width, channels = samples.shape
    layers = np.moveaxis(samples, -1, 0)[..., np.newaxis] if planar else samples[np.newaxis]
    rows = height // strips
    pieces = [
        stored(layer[i : i + rows], bits, order) for layer in layers for i in range(0, height, rows)
    ]
    tags = {
        256: numbers(order, 3, width),
        257: numbers(order, 3, height),
        258: numbers(order, 3, *[bits] * channels),
        262: numbers(order, 3, photometric),
        277: numbers(order, 3, channels),
        278: numbers(order, 3, rows),
        284: numbers(order, 3, 2 if planar else 1),
    }
    if extra:
        tags[338] = numbers(order, 3, *extra)
    return tiff(order, tags | dict(fields), pieces)


# How exactly 8 and 16 bits come back, in levels: L*a*b* is stored coarsely, and a product by alpha
# is rounded.
LAB, PREMULTIPLIED = {8: 3, 16: 20}, {8: 5, 16: 5}


def tiff_kinds():
    """(name, file, expected [height, width, channels], tolerance in levels)."""
    for bits, (color, photometric) in itertools.product(
        (8, 16),
        {"white": 0, "gray": 1, "rgb": 2, "cmyk": 5, "lab": 8, "icclab": 9}.items(),
    ):
        top, atol = 2**bits - 1, 0
        if photometric < 2:
            expected = plane(bits, RED)[..., np.newaxis]
            samples = top - expected if photometric == 0 else expected
        elif photometric == 2:
            samples = expected = rgb(bits)
        elif photometric == 5:
            samples, expected = inks(bits)
        else:
            samples, expected = lab(bits, icc=photometric == 9)
            atol = LAB[bits]
        for planar, order, extra in itertools.product((0, 1), "<>", ((), (2,), (1,), (0,))):
            if (photometric > 2 or photometric == 0) and extra == (1,):
                continue  # colours multiplied by alpha: of light alone
            alpha = plane(bits, ALPHA)[..., np.newaxis]
            whole, result, tolerance = samples, expected, atol
            if extra == (1,):
                whole, tolerance = np.rint(samples * (alpha / top)), PREMULTIPLIED[bits]
            if extra:
                whole = np.dstack([whole, alpha]).astype(np.uint16)
            if extra in ((1,), (2,)):
                result = np.dstack([expected, alpha])
            name = f"{color}{bits}-{'planar' if planar else 'contig'}-{order}-{extra}.tif"
            file = tiff_file(whole, bits, photometric, order, planar and whole.shape[2] > 1, extra)
            yield name, file, result, tolerance
    for bits in (1, 2, 4, 8):
        indices = plane(bits, BLUE)[..., np.newaxis]
        palette = np.random.default_rng(bits).integers(256, size=(3, 2**bits))
        for factor in (1, 256, 257):
            colors = numbers(">", 3, *(palette * factor).ravel())
            file = tiff_file(indices, bits, 3, ">", fields={320: colors})
            yield f"palette{bits}-{factor}.tif", file, palette.T[indices[..., 0]], 0
        if bits < 8:
            for photometric in (0, 1):
                gray = indices * (255 // (2**bits - 1))
                file = tiff_file(indices, bits, photometric)
                yield f"{bits}bits-{photometric}.tif", file, gray if photometric else 255 - gray, 0


def png_kinds():
    for bits in (1, 2, 4, 8, 16):
        top, wide = 2**bits - 1, 16 if bits == 16 else 8
        scale = 1 if bits > 7 else 255 // top
        gray = plane(bits, BLUE)[..., np.newaxis]
        rows = lambda samples, bits=bits: [stored(row[np.newaxis], bits, ">") for row in samples]  # noqa: E731
        make = lambda color, samples, *extra, bits=bits, rows=rows: png(  # noqa: E731
            WIDTH, HEIGHT, bits, color, rows(samples), *extra
        )
        yield f"gray{bits}.png", make(0, gray), gray * scale, 0
        key = int(gray[3, 5, 0])
        clear = np.where(gray == key, 0, 2**wide - 1)
        file = make(0, gray, (b"tRNS", struct.pack(">H", key)))
        yield f"gray{bits}key.png", file, np.dstack([gray * scale, clear]), 0
        if bits < 16:
            palette = np.random.default_rng(bits).integers(256, size=(2**bits, 3), dtype=np.uint8)
            entries = (b"PLTE", palette.tobytes())
            yield f"palette{bits}.png", make(3, gray, entries), palette[gray[..., 0]], 0
            file = make(3, gray, entries, (b"tRNS", b"\x40"))
            alpha = np.where(gray == 0, 0x40, 255)
            yield f"palette{bits}alpha.png", file, np.dstack([palette[gray[..., 0]], alpha]), 0
        if bits > 7:
            alpha = plane(bits, ALPHA)
            yield f"rgb{bits}.png", make(2, rgb(bits)), rgb(bits), 0
            for color, samples in ((4, gray), (6, rgb(bits))):
                samples = np.dstack([samples, alpha])
                yield f"alpha{bits}-{color}.png", make(color, samples), samples, 0
            key = rgb(bits)[3, 5]
            file = make(2, rgb(bits), (b"tRNS", struct.pack(">HHH", *key)))
            clear = np.where((rgb(bits) == key).all(-1), 0, top)
            yield f"rgb{bits}key.png", file, np.dstack([rgb(bits), clear]), 0
            # What says how colours are meant changes no sample.
            file = make(2, rgb(bits), (b"gAMA", struct.pack(">I", 100_000)))
            yield f"gamma{bits}.png", file, rgb(bits), 0


def bmp(bits: int, rows: bytes, compression: int = 0, masks=(), palette: bytes = b"") -> bytes:
    start = 54 + 4 * len(masks) + len(palette)
    head = struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start)
    size = (len(rows), 2835, 2835, len(palette) // 4, 0)
    head += struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, bits, compression, *size)
    return head + struct.pack(f"<{len(masks)}I", *masks) + palette + rows


def bmp_kinds():
    color = rgb(8).astype(np.uint32)
    bottom_up = color[::-1]
    yield "24.bmp", bmp(24, bottom_up[..., ::-1].astype(np.uint8).tobytes()), color, 0
    for name, bits, masks in (
        ("555", (5, 5, 5), ()),
        ("565", (5, 6, 5), (0xF800, 0x7E0, 0x1F)),
    ):
        red, green, blue = (bottom_up[..., i] >> (8 - bits[i]) for i in range(3))
        words = red << (bits[1] + bits[2]) | green << bits[2] | blue
        stored_colors = [color[..., i] >> (8 - bits[i]) for i in range(3)]
        expected = np.dstack(
            [value * 255 / (2 ** bits[i] - 1) for i, value in enumerate(stored_colors)]
        )
        file = bmp(16, words.astype("<u2").tobytes(), 3 if masks else 0, masks)
        yield f"{name}.bmp", file, expected, 1
    indices = plane(8, BLUE)[..., np.newaxis]
    palette = np.random.default_rng(0).integers(256, size=(256, 3), dtype=np.uint8)
    entries = np.concatenate([palette[:, ::-1], np.zeros((256, 1), np.uint8)], axis=1)
    file = bmp(8, indices[::-1].astype(np.uint8).tobytes(), palette=entries.tobytes())
    yield "palette.bmp", file, palette[indices[..., 0]], 0


def pillow_kinds():
    """Formats that are not written by hand; JPEG and WebP that is lossy by its distance."""

    def saved(mode, samples, format, **options):
        encoded = io.BytesIO()
        Image.fromarray(samples.astype(np.uint8).squeeze(), mode).save(encoded, format, **options)
        return encoded.getvalue()

    color, gray = rgb(8), plane(8, RED)[..., np.newaxis]
    alpha = np.dstack([color, plane(8, ALPHA)])
    best = {"quality": 100, "subsampling": 0}
    for name, options in (("base", {}), ("progressive", {"progressive": True})):
        yield f"{name}.jpg", saved("RGB", color, "JPEG", **best, **options), color, 4
        yield f"{name}-gray.jpe", saved("L", gray, "JPEG", **best, **options), gray, 3
    yield "rgb.jfif", saved("RGB", color, "JPEG", **best, keep_rgb=True), color, 4
    cmyk, ideal = inks(8)
    yield "cmyk.jpeg", saved("CMYK", cmyk, "JPEG", **best), ideal, 5
    exact = {"lossless": True, "exact": True}
    yield "lossless.webp", saved("RGB", color, "WEBP", **exact), color, 0
    yield "alpha.webp", saved("RGBA", alpha, "WEBP", **exact), alpha, 0
    yield "lossy.webp", saved("RGB", color, "WEBP", quality=100), color, 12


def compressed_kinds():
    """TIFFs whose strips are compressed."""
    color = rgb(8).astype(np.uint8)
    for number, encode in {
        5: imagecodecs.lzw_encode,
        8: imagecodecs.zlib_encode,
        32773: imagecodecs.packbits_encode,
        34925: imagecodecs.lzma_encode,
        50000: imagecodecs.zstd_encode,
    }.items():
        fields = {
            256: numbers("<", 3, WIDTH),
            257: numbers("<", 3, HEIGHT),
            258: numbers("<", 3, 8, 8, 8),
            259: numbers("<", 3, number),
            262: numbers("<", 3, 2),
            277: numbers("<", 3, 3),
            278: numbers("<", 3, HEIGHT),
        }
        yield f"compression{number}.tif", tiff("<", fields, [encode(color.tobytes())]), color, 0


def filled_up_kinds():
    """TIFFs whose last strip is longer than the picture."""
    color = rgb(8).astype(np.uint8)
    whole = np.concatenate([color, color[:4]]).reshape(2, -1)
    for number, encode in (
        (1, bytes),
        (5, imagecodecs.lzw_encode),
        (8, imagecodecs.zlib_encode),
        (32773, imagecodecs.packbits_encode),
    ):
        fields = {
            256: numbers(">", 3, WIDTH),
            257: numbers(">", 3, HEIGHT),
            258: numbers(">", 3, 8, 8, 8),
            259: numbers(">", 3, number),
            262: numbers(">", 3, 2),
            277: numbers(">", 3, 3),
            278: numbers(">", 3, 10),
        }
        strips = [encode(strip.tobytes()) for strip in whole]
        yield f"filled{number}.tif", tiff(">", fields, strips), color, 0


KINDS = {
    name: (file, np.asarray(expected), atol)
    for name, file, expected, atol in itertools.chain(
        tiff_kinds(),
        png_kinds(),
        bmp_kinds(),
        pillow_kinds(),
        compressed_kinds(),
        filled_up_kinds(),
    )
}


def is_wide(name: str) -> bool:
    return name.endswith((".png", ".tif")) and "16" in name.split("-")[0]


@pytest.fixture(params=KINDS)
def kind(request, tmp_path):
    """(path, expected [height, width, channels], tolerance, whether it has 16 bits)."""
    file, expected, atol = KINDS[request.param]
    path = tmp_path / request.param.replace("<", "little").replace(">", "big")
    path.write_bytes(file)
    return path, expected, atol, is_wide(request.param)


def test_every_reader_sees_the_pixels_of_every_kind(kind, tmp_path):
    path, expected, atol, wide = kind
    channels = expected.shape[2]
    pixels = read_picture(path).pixels
    assert pixels.dtype == (np.uint16 if wide else np.uint8)
    np.testing.assert_allclose(pixels.reshape(HEIGHT, WIDTH, -1), expected, atol=atol)
    header = read_kind(path)
    assert (header.shape, header.channels) == ((HEIGHT, WIDTH), channels)
    assert header.bits == (16 if wide else 8)
    eight = np.rint(expected / 257) if wide else expected
    eight = eight[..., :3] if channels > 2 else eight[..., [0, 0, 0]]
    atol = min(atol, 1) if wide else atol  # rounded to 8 bits, the neighbour at most
    seen = read_rgb(path)
    assert seen.dtype == np.uint8
    np.testing.assert_allclose(seen, eight, atol=atol)
    write_picture(tmp_path / "sharp.png", Picture(seen))
    (tmp_path / "list.txt").write_text(f"sharp.png {path.name}")
    source = PairSource(tmp_path / "list.txt", tmp_path, HEIGHT)
    blurred, sharp = source.read(0)
    np.testing.assert_array_equal(blurred, sharp)
    assert source.notes == (
        [f"pictures of one channel: 1, as gray RGB; the first: {path}"] if channels < 3 else []
    )
    assert score("a", path, path, tmp_path / "sharp.png")["psnr"] == np.inf


def test_cmyk_is_converted_by_its_profile(tmp_path):
    """A profile that only exchanges inks shows whether it is asked."""
    cmyk, ideal = inks(8)
    encoded = io.BytesIO()
    image = Image.fromarray(cmyk.astype(np.uint8), "CMYK")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(encoded, "JPEG", quality=100, icc_profile=srgb)  # of other colours: no use
    (tmp_path / "a.jpg").write_bytes(encoded.getvalue())
    picture = read_picture(tmp_path / "a.jpg")
    np.testing.assert_allclose(picture.pixels, ideal, atol=5)
    assert picture.icc_profile is None
    assert any("for RGB and not for CMYK" in note for note in picture.notes)


GRAY16 = plane(16, RED)[..., np.newaxis]


def sized(bits, channels, photometric, fields=(), order="<"):
    """A TIFF of zeros of any bits."""
    row = (WIDTH * bits * channels + 7) // 8
    tags = {
        256: numbers(order, 3, WIDTH),
        257: numbers(order, 3, HEIGHT),
        258: numbers(order, 3, *[bits] * channels),
        262: numbers(order, 3, photometric),
        277: numbers(order, 3, channels),
        278: numbers(order, 3, HEIGHT),
    }
    return tiff(order, tags | dict(fields), [bytes(row * HEIGHT)])


def jpeg_of(marker: int, bits: int = 8, channels: int = 3) -> bytes:
    frame = struct.pack(">BHHB", bits, HEIGHT, WIDTH, channels) + b"\1\x11\0" * channels
    scan = struct.pack(">B", channels) + b"\1\0" * channels + b"\0\x3f\0"
    parts = [(marker, frame), (0xDA, scan)]
    body = b"".join(struct.pack(">BBH", 0xFF, m, len(c) + 2) + c for m, c in parts)
    return b"\xff\xd8" + body + bytes(64) + b"\xff\xd9"


SHORT = lambda *values: numbers("<", 3, *values)  # noqa: E731
REFUSED = {
    "signed8.tif": (sized(8, 1, 1, {339: SHORT(2)}), "8 bits a channel, signed"),
    "signed16.tif": (sized(16, 3, 2, {339: SHORT(2, 2, 2)}), "16 bits a channel, signed"),
    "float16.tif": (sized(16, 1, 1, {339: SHORT(3)}), "16 bits a channel, floating-point"),
    "float32.tif": (sized(32, 3, 2, {339: SHORT(3)}), "32 bits a channel, floating-point"),
    "complex.tif": (sized(32, 1, 1, {339: SHORT(5)}), "complex"),
    "12.tif": (sized(12, 1, 1), "12 bits a channel; 8 and 16 can be restored"),
    "32.tif": (sized(32, 1, 1), "32 bits a channel"),
    "2rgb.tif": (sized(2, 3, 2), "2 bits a channel"),
    "565.tif": (sized(8, 3, 2, {258: SHORT(8, 6, 5)}), "channels of 8, 6, 5 bits"),
    "itulab.tif": (sized(8, 3, 10), r"ITU L\*a\*b\* colours"),
    "raw.tif": (sized(16, 1, 32803), "a camera's raw picture"),
    "inks.tif": (sized(8, 4, 5, {332: SHORT(2)}), "inks other than CMYK"),
    "two.tif": (sized(8, 2, 2), "2 channels are too few"),
    "volume.tif": (sized(8, 1, 1, {32997: SHORT(4)}), "a volume"),
    "jp2.tif": (sized(8, 1, 1, {259: SHORT(34712)}), "compression JPEG 2000"),
    "ojpeg.tif": (sized(8, 3, 6, {259: SHORT(6)}), "compression old-style JPEG"),
    "chroma.tif": (sized(8, 3, 6), "coarser chroma"),
    "lossless.jpg": (jpeg_of(0xC3), "a lossless JPEG"),
    "hierarchical.jpg": (jpeg_of(0xC5), "a hierarchical JPEG"),
    "12.jpg": (jpeg_of(0xC1, bits=12), "12 bits a channel; of a JPEG 8"),
    "two.jpg": (jpeg_of(0xC0, channels=2), "a JPEG of 2 channels"),
    "strips.tif": (sized(8, 1, 1, {278: SHORT(4)}), "parts of it have no data"),
    "jpeg.bmp": (bmp(0, bytes(100), 4), "not a picture that can be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_by_name_before_anything_starts(tmp_path, name):
    file, reason = REFUSED[name]
    (tmp_path / name).write_bytes(file)
    (tmp_path / "list.txt").write_text(f"{name} {name}")
    for read in (read_kind, read_picture, read_rgb):
        with pytest.raises(ValueError, match=rf"{name}: .*{reason}"):
            read(tmp_path / name)
    with pytest.raises(ValueError, match=rf"problems: 2\n.*{name}: .*{reason}"):
        PairSource(tmp_path / "list.txt", tmp_path, 8)


def huge_jpeg() -> bytes:
    encoded = io.BytesIO()
    Image.new("L", (20, 20)).save(encoded, "JPEG")
    data = bytearray(encoded.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 17_000, 17_000)
    return bytes(data)


def huge_png(*extra) -> bytes:
    data = png(20, 20, 8, 0, [bytes(20)] * 20, *extra)
    header = struct.pack(">IIBBBBB", 17_000, 17_000, 8, 0, 0, 0, 0)
    return data[:8] + chunk(b"IHDR", header) + data[33:]


SIDE = numbers("<", 4, 17_000)
DECLARED = {
    "a.jpg": huge_jpeg(),
    "a.png": huge_png(),
    "animated.png": huge_png((b"acTL", struct.pack(">II", 2, 0)), (b"fdAT", bytes(8000))),
    "a.bmp": bmp(24, bytes(100)),
    "run.bmp": bmp(8, b"\0\1", 1),
    **{
        f"{number}.tif": sized(8, 1, 1, {256: SIDE, 257: SIDE, 278: SIDE, 259: SHORT(number)})
        for number in (1, 5, 8, 7, 32773, 34925, 50000)
    },
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_size_without_data_is_refused_before_it_is_decoded(tmp_path, name):
    (tmp_path / name).write_bytes(DECLARED[name])
    for read in (read_kind, read_picture, read_rgb):
        with pytest.raises(ValueError, match=rf"{name}: .*bytes cannot hold the \d+x\d+ it decl"):
            read(tmp_path / name)
