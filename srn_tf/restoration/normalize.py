"""Pictures of any kind as what a network sees, and back: dtypes, gray, alpha, batches."""

import os

import numpy as np
from PIL import Image

from srn_tf import UserError
from srn_tf.images.read import read_picture

# Of Pillow's modes; in parentheses what they become.
_MODES = "L, LA, RGB, RGBA, I;16, 1 (L), P (RGB or RGBA) or PA (RGBA)"


def as_array(images) -> np.ndarray:
    """The array that NumPy makes of something.

    Raises:
        UserError: if it makes none.
    """
    try:
        return np.asarray(images)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        kind = type(images).__name__
        raise UserError(
            f"a picture must be an array; of this {kind} comes none: {reason}"
        ) from None


def pixels_of_pillow(picture: Image.Image) -> np.ndarray:
    """uint8 or uint16, [height, width] or [height, width, channels].

    Raises:
        UserError: for a mode that is neither gray nor RGB.
    """
    if picture.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B", "I;16L"):
        raise UserError(f"a picture of Pillow's must be of mode {_MODES}, not {picture.mode}")
    clear = picture.mode == "PA" or "transparency" in picture.info
    if picture.mode in ("P", "PA") or (clear and picture.mode == "RGB"):
        picture = picture.convert("RGBA" if clear else "RGB")
    elif picture.mode == "1" or (clear and picture.mode == "L"):
        picture = picture.convert("LA" if clear else "L")
    pixels = np.asarray(picture)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def restore_any(image, restore_batch):
    """What `Deblurrer.deblur` gives for a picture, from what restores a batch of arrays."""
    if isinstance(image, Image.Image):
        restored = Image.fromarray(restore_any(pixels_of_pillow(image), restore_batch))
        restored.info = {k: v for k, v in image.info.items() if k != "transparency"}
        return restored
    pixels = read_picture(image).pixels if isinstance(image, str | os.PathLike) else image
    return restore_batch(as_array(pixels)[np.newaxis])[0]


def restore_arrays(
    images: np.ndarray, model_channels: int, restore, stacked: int = 0
) -> np.ndarray:
    """Takes pictures of any kind to what a network sees, and its result back.

    Args:
        images: as `Deblurrer.deblur` takes them, [batch, height, width] or with channels behind.
        model_channels: 3 for a model of colour pictures, 1 for one that sees each channel alone.
        restore: a function of blurred [batch, height, width, model_channels] and the value of
            white in it, to float32 of that shape in [0, 1], which may go beyond.
        stacked: `images` with more than four channels are pictures with what comes with them, just
            so many channels, that the network sees as they are.

    Returns:
        Pictures of the kind of `images`.

    Raises:
        UserError: for arrays that are no such pictures.
        FloatingPointError: if what `restore` gives is not finite.
    """
    if not images.dtype.isnative:
        native = images.astype(images.dtype.newbyteorder("="))
        return restore_arrays(native, model_channels, restore, stacked).astype(images.dtype)
    if images.ndim == 4 and images.shape[-1] == stacked > 4:
        peak = _peak(images)
        return _to_dtype(restore(images, peak), images.dtype, peak)
    channels = 1 if images.ndim == 3 else images.shape[-1]
    if images.ndim not in (3, 4) or not 1 <= channels <= 4 or not images.size:
        raise UserError(
            "a picture must be [height, width] or [height, width, 1 to 4 channels], not "
            f"{list(images.shape[1:])}"
        )
    peak = _peak(images)
    pictures = images.reshape(*images.shape[:3], channels)
    count, height, width, _ = pictures.shape
    colors = 3 if channels >= 3 else 1
    blurred = pictures[..., :colors]
    if model_channels == 1:
        planes = np.moveaxis(blurred, -1, 0).reshape(-1, height, width, 1)
        planes = restore(planes, peak).reshape(colors, count, height, width)
        restored = np.moveaxis(planes, 0, -1)
    elif colors == 1:
        gray = np.broadcast_to(blurred, (count, height, width, 3))
        restored = restore(gray, peak).mean(axis=-1, keepdims=True)
    else:
        restored = restore(blurred, peak)
    result = pictures.copy()
    result[..., :colors] = _to_dtype(restored, images.dtype, peak)
    return result.reshape(images.shape)


def _peak(images: np.ndarray):
    """The value of white.

    Raises:
        UserError: for another dtype, or floating-point values beyond [0, 1].
    """
    if images.dtype in (np.uint8, np.uint16):
        return np.iinfo(images.dtype).max
    if not np.issubdtype(images.dtype, np.floating):
        raise UserError(f"a picture must be uint8, uint16 or floating-point, not {images.dtype}")
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):  # also where one is not a number
        raise UserError(f"a floating-point picture must be within [0, 1], not [{low:g}, {high:g}]")
    return 1


def _to_dtype(restored: np.ndarray, dtype, peak) -> np.ndarray:
    if not np.isfinite(restored).all():
        raise FloatingPointError("the network gives values that are not finite numbers")
    values = np.clip(restored, 0, 1)
    if np.issubdtype(dtype, np.integer):
        values *= np.float32(peak)
        np.rint(values, out=values)
    return values.astype(dtype)
