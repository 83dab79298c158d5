"""What a camera does to the light of a picture before it is a file, beside moving.

Networks trained on blur alone do not carry over to real photographs: on RSBlur (Rim et al., ECCV
2022) noise after the blur was worth 1.6 dB, highlights and the rest of the camera 0.3.

NumPy and OpenCV alone, as `camera_shake`. Light and values are float32 in [0, 1].
"""

import dataclasses

import cv2
import numpy as np

from srn_tf.options import check_rules

# Deviation of the noise of reading a sensor, and variance of shot noise per light, as parts of
# full light: those of phones and video cameras by day.
_READ_NOISE = (0.0, 0.002)
_SHOT_NOISE = (1e-5, 2e-4)
# What was clipped to white was this much brighter.
_HIGHLIGHT_GAINS = (1.25, 2.75)
_HIGHLIGHT_FROM = 0.9  # of a stored value
_LARGEST_DEFOCUS = 0.8  # sigma in pixels
_RADII = (1.5, 9.0)  # pixels: discs that points out of focus become
_LARGEST_SHARPENING = 0.8
_SOFT_EDGE = 6  # pixels, of the outline of a part of a picture


def light_from(values: np.ndarray) -> np.ndarray:
    """Light from stored values, by the curve of sRGB (IEC 61966-2-1)."""
    values = np.asarray(values, np.float32)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def values_from(light: np.ndarray) -> np.ndarray:
    """Stored values from light; the inverse of `light_from`."""
    light = np.asarray(light, np.float32).clip(0, 1)
    curve = 1.055 * light ** np.float32(1 / 2.4) - 0.055
    return np.where(light <= 0.0031308, light * 12.92, curve).astype(np.float32)


LIGHT = light_from(np.arange(256, dtype=np.float32) / 255).astype(np.float32)  # of uint8 values


@dataclasses.dataclass(frozen=True)
class Camera:
    """How a training picture is taken. All off: what averaging gives, rounded.

    Attributes:
        noise: factor on the noise of a sensor, in light; 0 is off.
        highlights: part of the pictures whose clipped lights were brighter than white before the
            blur.
        optics: part of the pictures slightly out of focus, and as many sharpened by the camera.
    """

    noise: float = 0.0
    highlights: float = 0.0
    optics: float = 0.0

    def __post_init__(self):
        rules = [
            ("noise", 0 <= self.noise <= 100, "0 (off) to 100"),
            ("highlights", 0 <= self.highlights <= 1, "0 (off) to 1"),
            ("optics", 0 <= self.optics <= 0.5, "0 (off) to 0.5"),
        ]
        check_rules(self, rules)

    def brighten(self, photo: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """How much brighter than stored each pixel was: float32 [height, width, 1], or None.

        Args:
            photo: uint8 [height, width, 3].
            rng: what is drawn from.
        """
        if rng.random() >= self.highlights:
            return None
        gain = rng.uniform(*_HIGHLIGHT_GAINS)
        lowest = photo.min(axis=-1, keepdims=True).astype(np.float32) / 255
        return 1 + (gain - 1) * ((lowest - _HIGHLIGHT_FROM) / (1 - _HIGHLIGHT_FROM)).clip(0, 1)

    def develop(self, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The file's pixels, uint8 [height, width, 3], of the light that fell on the sensor.

        Args:
            light: float32 [height, width, 3]; above 1 it is clipped.
            rng: what noise and optics are drawn from.
        """
        optics = rng.random()
        if optics < self.optics:
            light = _smooth(light, rng.uniform(0, _LARGEST_DEFOCUS))
        if self.noise:
            read, (low, high) = rng.uniform(*_READ_NOISE), np.log(_SHOT_NOISE)
            variance = read**2 + np.exp(rng.uniform(low, high)) * light
            noise = rng.standard_normal(light.shape, np.float32)
            light = light + self.noise * np.sqrt(variance) * noise
        values = values_from(light)
        if 1 - optics <= self.optics:
            amount = rng.uniform(0, _LARGEST_SHARPENING)
            values = values + np.float32(amount) * (values - _smooth(values, 1.0))
        return np.rint(values * 255).clip(0, 255).astype(np.uint8)


def out_of_focus(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph with a part out of focus, as what is nearer or farther than the rest.

    Args:
        photo: uint8 [height, width, 3].
        rng: what part and how far are drawn from.

    Returns:
        uint8 [height, width, 3].
    """
    radius = rng.uniform(*_RADII)
    side = 2 * int(np.ceil(radius)) + 1
    places = np.arange(side) - side // 2
    disc = (radius + 0.5 - np.hypot(places, places[:, np.newaxis])).clip(0, 1)
    light = LIGHT[photo]
    blurred = cv2.filter2D(light, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)
    mask = soft_mask(rng, photo.shape[:2])
    mask = mask if rng.random() < 0.5 else 1 - mask
    mixed = light + mask[..., np.newaxis] * (blurred - light)
    return np.rint(values_from(mixed) * 255).astype(np.uint8)


def soft_mask(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Random blobs over about a quarter of a picture: float32 [height, width] in [0, 1]."""
    coarse = rng.standard_normal((4, 4), dtype=np.float32)
    height, width = shape
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    steepness = max(shape) / 4 / _SOFT_EDGE
    return ((smooth - 0.6) * steepness + 0.5).clip(0, 1)


def _smooth(picture: np.ndarray, sigma: float) -> np.ndarray:
    if sigma < 0.2:  # less than OpenCV's kernel can hold
        return picture
    return cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
