"""Pictures with all that a photographer wants back: bits, gray, alpha, EXIF, colour profile.

Pillow reads and writes 8 bits with metadata. It has no 16-bit colour: there OpenCV reads the pixels
(tifffile those of planar TIFF), and this module writes PNG and tifffile TIFF.

Pixels are [height, width] (gray) or [height, width, channels], RGB, turned as their EXIF says.
"""

import contextlib
import dataclasses
import functools
import io
import itertools
import pathlib
import re
import struct
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from srn_tf.files import atomic_file
from srn_tf.images import EXTENSIONS, decode, read_bytes

# Extension -> format, as Pillow names it.
FORMATS = dict(zip(EXTENSIONS, ("PNG", "JPEG", "JPEG", "BMP", "WEBP", "TIFF", "TIFF"), strict=True))
# What a format has a place for, beside pixels.
METADATA = {
    "PNG": ("exif", "icc_profile", "xmp", "dpi", "text"),
    "JPEG": ("exif", "icc_profile", "xmp", "dpi", "iptc"),
    "TIFF": ("exif", "icc_profile", "xmp", "dpi"),
    "WEBP": ("exif", "icc_profile", "xmp"),
    "BMP": ("dpi",),
}
QUALITY = 95
MAX_MEGAPIXELS = 300

_ORIENTATION, _XMP = 0x0112, 700
_BITS, _PHOTOMETRIC, _CHANNELS, _PLANAR, _EXTRA_CHANNELS = 258, 262, 277, 284, 338
# TIFF keeps the layout of its pixels among the tags that EXIF shares with it: not metadata. Nor
# are resolution, profile and XMP, which are kept apart.
_TIFF_LAYOUT = (
    *range(254, 260),
    *(262, 266, 273, 277, 278, 279, 282, 283, 284, 292, 293, 296, 297, 317, 320, 322, 323, 324),
    *(325, 330, 332, 338, 339, 347, 530, 531, 532, _XMP, 34675),
)
# What Pillow, OpenCV and tifffile raise for files and values that they cannot take.
_FAILURES = (
    *(OSError, ValueError, TypeError, SyntaxError, EOFError, RuntimeError, struct.error),
    *(LookupError, cv2.error),
)


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pixels, and what is needed to write them back alike.

    Attributes:
        pixels: uint8 or uint16, [height, width] or [height, width, channels] with 2 (gray and
            alpha), 3 (RGB) or 4 (RGB and alpha) channels, upright.
        exif: EXIF as Pillow encodes it, without an orientation.
        icc_profile: of the colours.
        xmp: XMP packet.
        iptc: captions and keywords, as JPEG's marker APP13 has them.
        dpi: resolution (x, y) in dots per inch.
        text: the text chunks of a PNG.
        lossless: whether a WebP is.
        notes: what is not as it was in the file, for the user to know.
    """

    pixels: np.ndarray
    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple | None = None
    text: dict = dataclasses.field(default_factory=dict)
    lossless: bool = False
    notes: tuple[str, ...] = ()


def read_picture(path, max_megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """A picture with all that can be kept.

    Palettes become colours, CMYK becomes RGB (by its profile, if it has one), one bit becomes
    eight.

    Raises:
        ValueError: if the file is not a whole picture that can be read, is of another format than
            its extension says, or is larger than `max_megapixels` (millions of pixels).
        OSError: if it cannot be opened.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in EXTENSIONS:
        raise ValueError(f"{path}: the extension must be one of {', '.join(EXTENSIONS)}")
    encoded = read_bytes(path)
    Image.MAX_IMAGE_PIXELS = None  # `max_megapixels` is the limit, and it is Pillow's to decode
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return _read_opened(path, encoded, image, max_megapixels)
    except _FAILURES as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: not a picture that can be read ({_reason(error)})") from None


def read_rgb(path) -> np.ndarray:
    """A picture to look at and to score, of whatever kind: uint8 RGB [height, width, 3].

    Raises:
        ValueError, OSError: as `read_picture`; no size is too large.
    """
    pixels = _to_8_bit(read_picture(path, max_megapixels=np.inf).pixels)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colors = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., [0, 0, 0]]
    return np.ascontiguousarray(colors)


def _to_8_bit(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257).astype(np.uint8)


def _read_opened(path, encoded: bytes, image: Image.Image, max_megapixels: float) -> Picture:
    # MPO is what phones write: a JPEG with further pictures behind it.
    format = "JPEG" if image.format == "MPO" else image.format
    if format != FORMATS[path.suffix.lower()]:
        raise ValueError(f"{path}: its content is {format}, which its name does not say")
    megapixels = image.width * image.height / 1e6
    if not megapixels <= max_megapixels:
        raise ValueError(
            f"{path}: {image.width}x{image.height} is {megapixels:.4g} megapixels, and the limit "
            f"is {max_megapixels:g}"
        )
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        notes.append(f"only the first of its {frames} frames or pages is restored")
    if format == "TIFF" and (channels := image.tag_v2.get(_CHANNELS, 1)) > 4:
        notes.append(f"only the first of its {channels} channels are restored")
    if format == "PNG":
        image.load()  # metadata may follow the pixels
    orientation = image.getexif().get(_ORIENTATION, 1)
    metadata = _metadata(image, format)
    bits = _bits(encoded, image)
    if bits not in (1, 2, 4, 8, 16) or image.mode == "F":
        raise ValueError(f"{path}: {bits} bits a channel; 8 and 16 can be restored")
    if bits == 16:
        pixels = _decode_16_bit(path, encoded, image)
        if format == "TIFF" and image.tag_v2.get(_PLANAR, 1) == 1:
            orientation = 1  # OpenCV has turned it
    else:
        pixels = np.asarray(_to_plain_mode(image, bits))
        if image.mode == "CMYK":
            notes.append("CMYK, converted to RGB")
            metadata["icc_profile"] = None
    if orientation in (5, 6, 7, 8) and metadata["dpi"]:
        metadata["dpi"] = metadata["dpi"][::-1]
    lossless = format == "WEBP" and _webp_is_lossless(encoded)
    return Picture(_turn(pixels, orientation), **metadata, lossless=lossless, notes=tuple(notes))


def _metadata(image: Image.Image, format: str) -> dict:
    """What a Picture keeps beside pixels, without the orientation."""
    exif = image.getexif()
    exif.bigtiff = False  # encoded so, it could not be read back
    for tag in (_ORIENTATION, *(_TIFF_LAYOUT if format == "TIFF" else ())):
        exif.pop(tag, None)
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    xmp = re.sub(rb'tiff:Orientation="\d"|<tiff:Orientation>\d</tiff:Orientation>', b"", xmp)
    segments = [data for name, data in getattr(image, "applist", []) if name == "APP13"]
    text = dict(image.text) if format == "PNG" else {}
    return {
        "exif": exif.tobytes() if len(exif) else None,
        "icc_profile": image.info.get("icc_profile"),
        "xmp": xmp or None,
        "iptc": segments[0] if segments else None,
        "dpi": image.info.get("dpi"),
        # Other programs keep EXIF and XMP there, orientation and all.
        "text": {key: value for key, value in text.items() if not key.startswith(("XML:", "Raw "))},
    }


def _bits(encoded: bytes, image: Image.Image) -> int:
    """Bits a channel. Pillow opens 16-bit colour as 8-bit, so the file itself is asked."""
    if image.format == "PNG":
        return encoded[24]
    if image.format == "TIFF":
        return max(image.tag_v2.get(_BITS, (1,)))
    return 8


def _webp_is_lossless(encoded: bytes) -> bool:
    position = 12
    while (kind := encoded[position : position + 4]) not in (b"VP8L", b"VP8 ", b""):
        (size,) = struct.unpack_from("<I", encoded, position + 4)
        position += 8 + size + size % 2
    return kind == b"VP8L"


def _decode_16_bit(path, encoded: bytes, image: Image.Image) -> np.ndarray:
    tags = image.tag_v2 if image.format == "TIFF" else {}
    if tags.get(_PLANAR, 1) == 2:  # which OpenCV misreads
        return np.moveaxis(tifffile.imread(io.BytesIO(encoded), key=0), 0, -1)
    pixels = decode(path, encoded, cv2.IMREAD_UNCHANGED)
    if pixels.dtype != np.uint16:
        raise ValueError(f"{path}: not a picture that can be read (its bits a channel)")
    if pixels.ndim == 2:
        if tags.get(_PHOTOMETRIC) == 0:  # white is zero
            pixels = 65535 - pixels
        if (key := image.info.get("transparency")) is not None:
            pixels = np.dstack([pixels, np.where(pixels == key, 0, 65535).astype(np.uint16)])
        return pixels
    code = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    pixels = cv2.cvtColor(pixels, code)
    if tags.get(_EXTRA_CHANNELS) in (1, (1,)):  # colours are multiplied by alpha
        alpha = np.maximum(pixels[..., 3:], 1)
        colors = np.minimum(np.rint(pixels[..., :3] * (65535 / alpha)), 65535)
        pixels = np.dstack([colors.astype(np.uint16), pixels[..., 3]])
    return pixels[..., 2:] if image.mode == "LA" else pixels


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Upright; the orientation is that of EXIF, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _to_plain_mode(image: Image.Image, bits: int) -> Image.Image:
    """L, LA, RGB or RGBA."""
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK" and profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    gray = image.mode in ("1", "L", "LA", "La")
    transparency = image.info.get("transparency")
    if image.mode == "L" and isinstance(transparency, int):
        # Pillow stretches the levels of 2 and 4 bits, but not the transparent one.
        image.info["transparency"] = transparency * 255 // (2**bits - 1)
    return image.convert(("L" if gray else "RGB") + ("A" if image.has_transparency_data else ""))


def write_picture(path, picture: Picture, quality: int = QUALITY) -> tuple[str, ...]:
    """Writes a picture in the format of the extension; whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        picture: what to write.
        quality: 1 to 100, of JPEG and of WebP that is not lossless.

    Returns:
        What the format could not keep, for the user to know.

    Raises:
        ValueError: for an extension that cannot be written, or a picture too large for it.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in EXTENSIONS:
        raise ValueError(f"{path}: the extension must be one of {', '.join(EXTENSIONS)}")
    format = FORMATS[path.suffix.lower()]
    height, width = picture.pixels.shape[:2]
    pixels, notes = picture.pixels.reshape(height, width, -1), []
    if pixels.dtype == np.uint16 and format not in ("PNG", "TIFF"):
        notes.append(f"16 bits became 8, as {format} has no more")
        pixels = _to_8_bit(pixels)
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
            except _FAILURES as error:
                if getattr(error, "errno", None):  # the disk, not the picture
                    raise OSError(error.errno, error.strerror, str(path)) from None
                reason = _reason(error)
        else:
            raise ValueError(
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
            options["exif"][_XMP] = picture.xmp
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
        tags.append((_XMP, "B", len(picture.xmp), picture.xmp, True))
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


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "of no known kind"
    return (str(getattr(error, "err", None) or error) or type(error).__name__).splitlines()[0]
