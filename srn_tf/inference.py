"""Deblurring: arrays in, arrays out; and folders of pictures."""

import pathlib

import numpy as np
import tensorflow as tf

from srn_tf import checkpoints
from srn_tf.config import PRECISIONS
from srn_tf.images import find_images, read_image, write_image
from srn_tf.networks import restore
from srn_tf.progress import progress


class Deblurrer:
    """Restores pictures with a trained network.

    Args:
        checkpoint_or_model: a checkpoint file, a run folder (its newest checkpoint), or a network.
        precision: float32, bfloat16 or float16, for a checkpoint; a network has its own.
        name: the model a checkpoint must be; by default what it says, or what fits it.

    Raises:
        ValueError: if the checkpoint cannot be used.
    """

    def __init__(self, checkpoint_or_model, precision: str = "float32", name: str | None = None):
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
        if isinstance(checkpoint_or_model, str | pathlib.Path):
            self.model = checkpoints.load_model(checkpoint_or_model, PRECISIONS[precision], name)
        else:
            self.model = checkpoint_or_model
        channels = self.model.config.channels
        # One trace for all sizes.
        self._restore = tf.function(
            lambda blurred: restore(self.model, blurred),
            input_signature=[tf.TensorSpec((None, None, None, channels), tf.float32)],
        )

    def deblur(self, image: np.ndarray) -> np.ndarray:
        """The restored picture.

        Args:
            image: uint8 RGB [height, width, 3]. A one-channel model restores R, G and B as a batch
                of three, as the authors' program does.

        Returns:
            The same shape and dtype, rounded.

        Raises:
            ValueError: for an array of another kind.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(
                f"a picture must be uint8 [height, width, 3], not {image.dtype} {image.shape}"
            )
        batch = image[np.newaxis].astype(np.float32) / 255
        if self.model.config.channels == 1:
            batch = batch.transpose(3, 1, 2, 0)
        restored = self._restore(batch).numpy()
        if self.model.config.channels == 1:
            restored = restored.transpose(3, 1, 2, 0)
        return np.rint(np.clip(restored[0], 0, 1) * 255).astype(np.uint8)


def deblur_files(deblurrer: Deblurrer, input_path, output_path):
    """Deblurs a picture or every picture of a folder, under the same file names.

    Args:
        input_path: a picture, or a folder.
        output_path: the folder to write to; not that of the input.

    Yields:
        For each picture its path and (blurred, restored), both uint8; for one that cannot be read,
        restored or written its path and the error.

    Raises:
        ValueError: if there is nothing to read, or the output would replace the input.
    """
    input_path, output_path = pathlib.Path(input_path), pathlib.Path(output_path)
    if not input_path.exists():
        raise ValueError(f"{input_path}: no such file or folder")
    paths = [input_path] if input_path.is_file() else find_images(input_path)
    if output_path.resolve() == paths[0].parent.resolve():
        raise ValueError(f"{output_path}: is the folder of the input, which would be overwritten")
    try:
        output_path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{output_path}: cannot be made a folder ({error.strerror})") from None
    with progress("deblurring", len(paths)) as advance:
        for path in paths:
            try:
                blurred = read_image(path)
                restored = deblurrer.deblur(blurred)
                write_image(output_path / path.name, restored)
                yield path, (blurred, restored)
            except (ValueError, OSError) as error:
                yield path, error
            except (MemoryError, tf.errors.ResourceExhaustedError):
                yield path, ValueError(f"{path}: not enough memory for this picture")
            except tf.errors.OpError as error:
                yield path, ValueError(f"{path}: {(error.message or 'failed').splitlines()[0]}")
            advance(path.name)
