"""Reading and writing pictures.

`read_image` and `write_image` know 8-bit RGB alone: what training and scores need. `read_picture`
and `write_picture` keep what a photographer wants back: bits, gray, alpha, EXIF, colour profile.

Pixels are [height, width] (gray) or [height, width, channels], RGB, turned as their EXIF says.
"""

import contextlib
import dataclasses
import functools
import io
import os
import pathlib
import re
import struct
import threading
import warnings
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from srn_tf.files import atomic_file

# Extension -> format, as Pillow names it.
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
EXTENSIONS = tuple(FORMATS)
QUALITY = 95
MAX_MEGAPIXELS = 300

# The luma of the paper and of the authors' data: ITU-R BT.601, as MATLAB's rgb2gray.
LUMA = (0.2989, 0.5870, 0.1140)

_ORIENTATION, _ICC_PROFILE, _XMP = 0x0112, 34675, 700
# TIFF keeps the layout of its pixels among the tags that EXIF shares with it: not metadata.
_TIFF_LAYOUT = (
    *range(254, 260),
    *(262, 266, 273, 277, 278, 279, 282, 283, 284, 292, 293, 296, 297, 317, 320, 322, 323, 324),
    *(325, 330, 332, 338, 339, 347, 530, 531, 532, 700, 34675, 34377, 33723),
)


def read_image(path) -> np.ndarray:
    """A picture as uint8 RGB [height, width, 3]; gray pictures are repeated, alpha is dropped.

    Raises:
        ValueError: if the file is not a whole picture that can be read.
        OSError: if it cannot be opened.
    """
    encoded = np.frombuffer(_read_bytes(path), np.uint8)
    return _decode(path, encoded, cv2.IMREAD_COLOR_RGB)


def write_image(path, image: np.ndarray) -> None:
    """Writes uint8 RGB [height, width, 3] in the format of the extension; whole or not at all.

    Raises:
        ValueError: for an extension that cannot be written, or a picture too large for it.
    """
    write_picture(path, Picture(image))


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pixels, and what is needed to write them back alike.

    Attributes:
        pixels: uint8 or uint16, [height, width] or [height, width, channels] with 2 (gray and
            alpha), 3 (RGB) or 4 (RGB and alpha) channels, upright.
        exif: EXIF as Pillow encodes it, without an orientation.
        icc_profile: of the colours.
        xmp: XMP packet.
        dpi: resolution (x, y) in dots per inch.
        text: the text chunks of a PNG.
        lossless: whether a WebP is.
        notes: what is not as it was in the file, for the user to know.
    """

    pixels: np.ndarray
    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
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
    encoded = _read_bytes(path)
    try:
        with _open(io.BytesIO(encoded)) as image:
            return _read_opened(path, encoded, image, max_megapixels)
    except _FAILURES as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: not a picture that can be read ({_reason(error)})") from None


def _read_opened(path, encoded: bytes, image: Image.Image, max_megapixels: float) -> Picture:
    if image.format != FORMATS[path.suffix.lower()]:
        raise ValueError(f"{path}: its content is {image.format}, which its name does not say")
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise ValueError(
            f"{path}: {image.width}x{image.height} is {megapixels:.4g} megapixels, and the limit "
            f"is {max_megapixels:g}"
        )
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"only the first of its {frames} frames or pages is restored")
    orientation = image.getexif().get(_ORIENTATION, 1)
    metadata = _metadata(image)
    bits = _bits(encoded, image)
    if bits > 16 or image.mode == "F":
        raise ValueError(f"{path}: {bits} bits a channel; 8 and 16 can be restored")
    if bits == 16:
        pixels = _decode_16_bit(path, encoded, image)
        if image.format == "TIFF":
            orientation = 1  # OpenCV has turned it
    else:
        pixels = np.asarray(_to_plain_mode(image))
        if image.mode == "CMYK":
            notes.append("CMYK, converted to RGB")
            metadata["icc_profile"] = None
    lossless = image.format == "WEBP" and _webp_is_lossless(encoded)
    return Picture(_turn(pixels, orientation), **metadata, lossless=lossless, notes=tuple(notes))


def _metadata(image: Image.Image) -> dict:
    """What a Picture keeps beside pixels, without the orientation."""
    exif = image.getexif()
    for tag in (_ORIENTATION, *(_TIFF_LAYOUT if image.format == "TIFF" else ())):
        exif.pop(tag, None)
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    xmp = re.sub(rb'tiff:Orientation="\d"|<tiff:Orientation>\d</tiff:Orientation>', b"", xmp)
    return {
        "exif": exif.tobytes() if len(exif) else None,
        "icc_profile": image.info.get("icc_profile"),
        "xmp": xmp or None,
        "dpi": image.info.get("dpi"),
        "text": dict(image.text) if image.format == "PNG" else {},
    }


def _bits(encoded: bytes, image: Image.Image) -> int:
    """Bits a channel. Pillow opens 16-bit colour as 8-bit, so the file itself is asked."""
    if image.format == "PNG":
        return encoded[24]
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (1,)))
    return 8


def _webp_is_lossless(encoded: bytes) -> bool:
    position = 12
    while (kind := encoded[position : position + 4]) not in (b"VP8L", b"VP8 ", b""):
        (size,) = struct.unpack_from("<I", encoded, position + 4)
        position += 8 + size + size % 2
    return kind == b"VP8L"


def _decode_16_bit(path, encoded: bytes, image: Image.Image) -> np.ndarray:
    pixels = _decode(path, np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels.dtype != np.uint16:
        raise ValueError(f"{path}: not a picture that can be read (its bits a channel)")
    if pixels.ndim == 3:
        code = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        pixels = cv2.cvtColor(pixels, code)
        if image.mode == "LA":
            pixels = pixels[..., 2:]
    return pixels


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Upright; the orientation is that of EXIF, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _to_plain_mode(image: Image.Image) -> Image.Image:
    """L, LA, RGB or RGBA."""
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK" and profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    gray = image.mode in ("1", "L", "LA", "La")
    return image.convert(("L" if gray else "RGB") + ("A" if image.has_transparency_data else ""))


def write_picture(path, picture: Picture, quality: int = QUALITY) -> tuple[str, ...]:
    """Writes a picture in the format of the extension; whole or not at all.

    Args:
        path: the file; one that is there is replaced.
        picture: what to write. EXIF, XMP, colour profile and resolution go where the format has a
            place for them.
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
        pixels = np.rint(pixels / 257).astype(np.uint8)
    if pixels.shape[2] in (2, 4) and format in ("JPEG", "BMP"):
        notes.append(f"alpha is dropped, as {format} has none")
        pixels = pixels[..., :-1]
    if pixels.shape[2] == 2 and pixels.dtype == np.uint16:
        pixels = pixels[..., [0, 0, 0, 1]]  # no writer of 16 bits has gray with alpha
    pixels = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    picture = dataclasses.replace(picture, pixels=pixels)
    write = {
        "uint8": functools.partial(_write_8_bit, format=format, quality=quality),
        "uint16": _write_16_bit_png if format == "PNG" else _write_16_bit_tiff,
    }[str(pixels.dtype)]
    with atomic_file(path) as temporary:
        try:
            write(temporary, picture)
        except _FAILURES as error:
            if getattr(error, "errno", None):  # the disk, not the picture
                raise
            try:  # strange metadata must not cost the picture
                write(temporary, Picture(pixels, lossless=picture.lossless))
                notes.append(f"its metadata could not be written ({_reason(error)})")
            except _FAILURES as error:
                raise ValueError(
                    f"{path}: a picture of {width}x{height} cannot be written in this format "
                    f"({_reason(error)})"
                ) from None
    return tuple(notes)


# What Pillow, OpenCV and tifffile raise for files and values that they cannot take.
_FAILURES = (
    *(OSError, ValueError, TypeError, SyntaxError, EOFError, RuntimeError, struct.error),
    *(LookupError, cv2.error),
)


def _write_8_bit(path, picture: Picture, format: str, quality: int) -> None:
    options = {
        name: value
        for name in ("exif", "icc_profile", "xmp", "dpi")
        if (value := getattr(picture, name)) is not None
    }
    if format == "PNG":
        options |= {"pnginfo": _png_text(picture), "compress_level": 3}
    elif format == "JPEG":
        options |= {"quality": quality, "subsampling": 0}
    elif format == "WEBP":
        options |= {"quality": quality, "lossless": picture.lossless}
    elif format == "TIFF":
        exif = _exif_tags(picture)
        if picture.xmp:
            exif[_XMP] = picture.xmp
        options["exif"] = exif
    Image.fromarray(picture.pixels).save(path, format, **options)


def _write_16_bit_png(path, picture: Picture) -> None:
    """Pixels by OpenCV, as Pillow has no 16-bit colour; then Pillow's chunks behind the header."""
    pixels = picture.pixels
    if pixels.ndim == 3:
        code = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        pixels = cv2.cvtColor(pixels, code)
    written, encoded = cv2.imencode(".png", pixels)
    if not written:
        raise ValueError("OpenCV gives no reason")
    chunks = _png_text(picture).chunks
    if picture.exif:
        chunks.append((b"eXIf", picture.exif.removeprefix(b"Exif\0\0")))
    if picture.icc_profile:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc_profile)))
    if picture.dpi:
        per_meter = (round(float(value) / 0.0254) for value in picture.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", *per_meter, 1)))
    header, rest = encoded[:33].tobytes(), encoded[33:].tobytes()
    with open(path, "wb") as file:
        file.write(header)
        for kind, data, *_ in chunks:
            PngImagePlugin.putchunk(file, kind, data)
        file.write(rest)


def _write_16_bit_tiff(path, picture: Picture) -> None:
    """By tifffile: Pillow has no 16-bit colour, and OpenCV's TIFF keeps no colour profile."""
    options = {"photometric": "rgb" if picture.pixels.ndim == 3 else "minisblack"}
    if picture.pixels.shape[2:] == (4,):
        options["extrasamples"] = ["unassalpha"]
    if picture.dpi:
        options |= {"resolution": tuple(map(float, picture.dpi)), "resolutionunit": "INCH"}
    texts = {tag: text for tag, text in _exif_tags(picture).items() if isinstance(text, str)}
    tags = [(tag, "s", 0, text, True) for tag, text in texts.items()]
    if picture.xmp:
        tags.append((_XMP, "B", len(picture.xmp), picture.xmp, True))
    tifffile.imwrite(
        path,
        picture.pixels,
        compression="zlib",
        predictor=True,
        iccprofile=picture.icc_profile,
        extratags=tags,
        metadata=None,
        software=False,
        **options,
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


def image_size(path) -> tuple[int, int]:
    """(height, width) from the header alone.

    Raises:
        ValueError: if the file has no readable header.
    """
    try:
        with _open(path) as image:
            return image.height, image.width
    except OSError as error:
        raise ValueError(f"{path}: not a picture that can be read ({_reason(error)})") from None


def find_images(folder, recursive: bool = False, besides=None) -> list[pathlib.Path]:
    """The pictures in a folder, by name; hidden files and folders are left out.

    Args:
        folder: where to look.
        recursive: whether to look into its folders, too.
        besides: a folder that is left out.

    Raises:
        ValueError: if there is no such folder, or no picture in it.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    besides = besides and os.path.abspath(besides)
    paths = []
    for place, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if recursive
            and not name.startswith(".")
            and os.path.abspath(os.path.join(place, name)) != besides
        ]
        paths += [pathlib.Path(place, name) for name in files if not name.startswith(".")]
    paths = sorted(path for path in paths if path.suffix.lower() in EXTENSIONS)
    if not paths:
        raise ValueError(f"{folder}: no pictures in this folder ({', '.join(EXTENSIONS)})")
    return paths


def _read_bytes(path) -> bytes:
    encoded = pathlib.Path(path).read_bytes()
    if not encoded:
        raise ValueError(f"{path}: the file is empty")
    return encoded


def _decode(path, encoded: np.ndarray, flags: int) -> np.ndarray:
    try:
        pixels = cv2.imdecode(encoded, flags)
    except cv2.error as error:
        raise ValueError(f"{path}: not a picture that can be read ({error.err})") from None
    if pixels is None:
        raise ValueError(f"{path}: not a picture that can be read")
    return pixels


_PILLOW_LIMIT = threading.Lock()


def _open(file) -> Image.Image:
    """Opens a picture with no limit on its size, of which only the header is read here."""
    with _PILLOW_LIMIT, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged metadata
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "of no known format"
    return (str(getattr(error, "err", None) or error) or type(error).__name__).splitlines()[0]
