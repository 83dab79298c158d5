"""Reading a picture with all that can be kept of it."""

import contextlib
import io
import pathlib
import re
import struct

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms

from srn_tf import UserError
from srn_tf.images.files import EXTENSIONS, decode, read_bytes
from srn_tf.images.picture import (
    FAILURES,
    FORMATS,
    MAX_MEGAPIXELS,
    ORIENTATION,
    XMP,
    Picture,
    reason_of,
)

_BITS, _PHOTOMETRIC, _CHANNELS, _PLANAR, _EXTRA_CHANNELS = 258, 262, 277, 284, 338
# TIFF keeps the layout of its pixels among the tags that EXIF shares with it: not metadata. Nor
# are resolution, profile and XMP, which are kept apart.
_TIFF_LAYOUT = (
    *range(254, 260),
    *(262, 266, 273, 277, 278, 279, 282, 283, 284, 292, 293, 296, 297, 317, 320, 322, 323, 324),
    *(325, 330, 332, 338, 339, 347, 530, 531, 532, XMP, 34675),
)


def read_picture(path, max_megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """A picture with all that can be kept.

    Palettes become colours, CMYK becomes RGB (by its profile, if it has one), one bit becomes
    eight.

    Raises:
        UserError: if the file is not a whole picture that can be read, is of another format than
            its extension says, or is larger than `max_megapixels` (millions of pixels).
        OSError: if it cannot be opened.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in EXTENSIONS:
        raise UserError(f"{path}: the extension must be one of {', '.join(EXTENSIONS)}")
    encoded = read_bytes(path)
    Image.MAX_IMAGE_PIXELS = None  # `max_megapixels` is the limit, and it is Pillow's to decode
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return _read_opened(path, encoded, image, max_megapixels)
    except FAILURES as error:
        if str(error).startswith(str(path)):
            raise
        raise UserError(f"{path}: not a picture that can be read ({reason_of(error)})") from None


def _read_opened(path, encoded: bytes, image: Image.Image, max_megapixels: float) -> Picture:
    # MPO is what phones write: a JPEG with further pictures behind it.
    format = "JPEG" if image.format == "MPO" else image.format
    if format != FORMATS[path.suffix.lower()]:
        raise UserError(f"{path}: its content is {format}, which its name does not say")
    megapixels = image.width * image.height / 1e6
    if not megapixels <= max_megapixels:
        raise UserError(
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
    orientation = image.getexif().get(ORIENTATION, 1)
    metadata = _metadata(image, format)
    bits = _bits(encoded, image)
    if bits not in (1, 2, 4, 8, 16) or image.mode == "F":
        raise UserError(f"{path}: {bits} bits a channel; 8 and 16 can be restored")
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
    for tag in (ORIENTATION, *(_TIFF_LAYOUT if format == "TIFF" else ())):
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
        raise UserError(f"{path}: not a picture that can be read (its bits a channel)")
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
