"""Pictures with all that a photographer wants back: bits, gray, alpha, EXIF, colour profile.

Pixels are [height, width] (gray) or [height, width, channels], RGB, turned as their EXIF says.
"""

import dataclasses

import numpy as np

from srn_tf.images.kind import Extra

# What a format has a place for, beside pixels and what is its own.
METADATA = {
    "PNG": ("exif", "icc_profile", "xmp", "dpi"),
    "JPEG": ("exif", "icc_profile", "xmp", "dpi", "iptc"),
    "TIFF": ("exif", "icc_profile", "xmp", "dpi", "iptc"),
    "WEBP": ("exif", "icc_profile", "xmp"),
    "BMP": ("dpi",),
    "AVIF": ("exif", "icc_profile", "xmp"),
    "HEIF": ("exif", "icc_profile", "xmp"),
}
QUALITY = 95
MAX_MEGAPIXELS = 300


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pixels, and what is needed to write them back alike.

    Attributes:
        pixels: uint8 or uint16, [height, width] or [height, width, channels] with 2 (gray and
            alpha), 3 (RGB) or 4 (RGB and alpha) channels, upright.
        exif: block of EXIF, which begins with the byte order, as in the file but for orientation
            and sizes; of a TIFF, its directories without those of the pixels.
        icc_profile: of the colours.
        xmp: XMP packet.
        iptc: captions and keywords, as JPEG's marker APP13 has them.
        dpi: resolution (x, y) in dots per inch.
        lossless: whether a WebP is.
        format: of the file it was read from; None if there was none.
        extras: what that format alone has a place for.
        notes: what is not as it was in the file, for the user to know.
    """

    pixels: np.ndarray
    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple | None = None
    lossless: bool = False
    format: str | None = None
    extras: tuple[Extra, ...] = ()
    notes: tuple[str, ...] = ()


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """uint8 from uint8, or from uint16, rounded."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257).astype(np.uint8)
