"""What a picture file is, decided from its own bytes in one place; nothing is decoded for it.

Each format has a module (`jpeg`, `png`, `tiff`, `plain`) with `parse(data)`, which gives a Kind or
says by ValueError what about the file is not supported, `decode(kind, data)`, which gives its
pixels, and `encode(picture, ...)`. Restoring, scoring, training, checks and report all read so.
"""

import dataclasses
import io
import zlib

import numpy as np

from srn_tf.images.metadata import TURNED, Exif, upright_xmp, xmp_orientation

# Of a deflate stream, bytes out for each byte in, at most (zlib's documentation).
MOST_DEFLATED = 1032


class Unsupported(ValueError):
    """A whole file of a kind that cannot be read, by the name of what it is."""


@dataclasses.dataclass(frozen=True)
class Extra:
    """Metadata that only its own format has a place for, as they are in the file.

    Attributes:
        name: for people, such as "gAMA".
        key: what it is written under: a chunk's type, a marker, a field of TIFF.
        data: the bytes, or the field.
    """

    name: str
    key: object
    data: object


@dataclasses.dataclass
class Kind:
    """A file's kind and metadata, before its pixels are decoded.

    Attributes:
        format: as in `files.FORMATS`.
        width, height: as stored, before the turn.
        channels: what decoding gives: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.
        bits: 8 or 16, of what decoding gives.
        colors: whose profile would fit the file: "GRAY", "RGB ", "CMYK" or "Lab ".
        layout: what the format's `decode` needs.
        orientation: by which pixels are turned upright, 1 to 8; None until `settle` knows.
        exif, icc_profile, xmp, iptc, dpi, lossless, extras, notes: as in Picture, not yet upright.
    """

    format: str
    width: int
    height: int
    channels: int
    bits: int = 8
    colors: str = "RGB "
    layout: object = None
    orientation: int | None = None
    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    lossless: bool = False
    extras: list[Extra] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the picture upright."""
        size = self.height, self.width
        return size[::-1] if self.orientation in TURNED else size

    def settle(self) -> "Kind":
        """Takes the orientation from EXIF, else XMP; drops EXIF and a profile that cannot be right.

        Browsers and cameras go by EXIF alone, photo managers by both.
        """
        if self.exif is not None:
            try:
                exif = Exif(self.exif)
                self.orientation, problem = self.orientation or exif.orientation, exif.problem
                self.dpi = self.dpi or exif.dpi
            except ValueError as error:
                problem = str(error)
            if problem:
                self.exif = None
                self.notes.append(f"exif dropped, as it is damaged ({problem})")
        if self.orientation is None and self.xmp:
            self.orientation = xmp_orientation(self.xmp)
        self.orientation = self.orientation or 1
        if self.icc_profile and (problem := profile_problem(self.icc_profile, self.colors)):
            self.icc_profile = None
            self.notes.append(f"icc_profile dropped, as it is {problem}")
        return self

    def make_upright(self) -> None:
        """Changes the metadata to those of the picture upright."""
        height, width = self.shape
        if self.exif:
            self.exif, notes = Exif(self.exif).upright(self.orientation, width, height)
            self.notes += notes
        if self.xmp:
            self.xmp = upright_xmp(self.xmp, self.orientation, width, height)
        if self.orientation in TURNED and self.dpi:
            self.dpi = self.dpi[::-1]


def profile_problem(profile: bytes, colors: str) -> str:
    """Why a colour profile does not fit; empty if it does. ICC.1:2022, section 7.2."""
    size = int.from_bytes(profile[:4], "big")
    if not 132 <= size <= len(profile) or profile[36:40] != b"acsp":
        return "damaged"
    space = profile[16:20].decode("latin-1")
    return "" if space == colors else f"for {space.strip()} and not for {colors.strip()} pixels"


def straight(pixels: np.ndarray) -> np.ndarray:
    """Pixels [..., channels] without the factor alpha, their last channel, in their colours."""
    top = np.iinfo(pixels.dtype).max
    alpha = np.maximum(pixels[..., -1:], 1)
    colors = np.minimum(np.rint(pixels[..., :-1] * (top / alpha)), top).astype(pixels.dtype)
    return np.concatenate([colors, pixels[..., -1:]], axis=-1)


def rgb_of_cmyk(inks: np.ndarray, profile: bytes | None) -> np.ndarray:
    """RGB [height, width, 3] of inks [height, width, 4], uint8 or uint16: by the profile into sRGB,
    else as if inks were ideal."""
    import imagecodecs

    if profile:
        try:
            return imagecodecs.cms_transform(
                np.ascontiguousarray(inks),
                profile,
                imagecodecs.cms_profile("srgb"),
                colorspace="cmyk",
                outcolorspace="rgb",
                intent=0,
            )
        except (RuntimeError, ValueError):
            pass  # damaged, or for other colours
    top = np.uint32(np.iinfo(inks.dtype).max)
    light = top - inks  # its products are below 2^32
    return ((light[..., :3] * light[..., 3:] + top // 2) // top).astype(inks.dtype)


# CIE XYZ with white D50 to linear sRGB with white D65 (Bradford), from ICC's sRGB profile.
_D50_TO_SRGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ],
    np.float32,
)
_D50 = np.array([0.9642, 1.0, 0.8251], np.float32)


def rgb_of_lab(lab: np.ndarray, dtype) -> np.ndarray:
    """sRGB of CIE L*a*b* [..., 3] with white D50, L* in [0, 100], as uint8 or uint16."""
    lightness, a, b = np.moveaxis(lab.astype(np.float32), -1, 0)
    f = (lightness + 16) / 116
    f = np.stack([f + a / 500, f, f - b / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _D50
    linear = np.clip(xyz @ _D50_TO_SRGB.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * np.iinfo(dtype).max).astype(dtype)


def inflate(data: bytes, most: int = 1 << 24) -> bytes:
    """What a deflate stream holds.

    Raises:
        ValueError: if it is damaged or holds more than `most` bytes.
    """
    try:
        stream = zlib.decompressobj()
        inflated = stream.decompress(data, most)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not stream.eof:
        raise ValueError("too large, or cut")
    return inflated


def behind(data, end: int) -> list[str]:
    """A note on what follows the end of a picture; nothing for padding."""
    if end >= len(data) or not bytes(data[end:]).strip(b"\0\r\n\t "):
        return []
    return [f"{len(data) - end} bytes behind the picture not kept"]


def in_memory(data) -> io.BytesIO:
    """A file of bytes or of a mapped file."""
    return io.BytesIO(data[:])
