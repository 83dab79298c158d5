"""Pictures with all that a photographer wants back: bits, gray, alpha, EXIF, colour profile.

Pillow reads and writes 8 bits with metadata. It has no 16-bit colour: there OpenCV reads the pixels
(tifffile those of planar TIFF), and `images.write` writes PNG and tifffile TIFF.

Pixels are [height, width] (gray) or [height, width, channels], RGB, turned as their EXIF says.
"""

import dataclasses
import struct

import cv2
import numpy as np
from PIL import UnidentifiedImageError

from srn_tf.images.files import EXTENSIONS

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

ORIENTATION, XMP = 0x0112, 700  # tags of EXIF and TIFF
# What Pillow, OpenCV and tifffile raise for files and values that they cannot take.
FAILURES = (
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


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """uint8 from uint8, or from uint16, rounded."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257).astype(np.uint8)


def reason_of(error: Exception) -> str:
    """One line of why a picture could not be read or written."""
    if isinstance(error, UnidentifiedImageError):
        return "of no known kind"
    return (str(getattr(error, "err", None) or error) or type(error).__name__).splitlines()[0]
