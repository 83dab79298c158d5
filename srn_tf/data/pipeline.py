"""The tf.data pipeline: the batches of `examples.make_batch`, made ahead on all cores."""

import numpy as np
import tensorflow as tf

from srn_tf import UserError
from srn_tf.data.examples import Source, make_batch
from srn_tf.images.rgb import LUMA


class Batches:
    """An endless stream of training batches, from any step on.

    Args:
        source: of the examples.
        batch_size: examples a batch, of all workers together.
        channels: 3, or 1 for luma.
        seed: of order and crops.
        start_step: the first batch given is that of this step.
        share: (index, count) of this worker: it gets rows index * batch_size / count to
            (index + 1) * batch_size / count of every batch.

    Iterating gives (blurred, sharp), float32 [batch_size / count, size, size, channels] in [0, 1];
    with more pictures, blurred has their channels behind its own.
    It raises what the source raises.

    Raises:
        UserError: if the batch cannot be shared evenly.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        channels: int,
        seed: int,
        start_step: int = 0,
        share: tuple[int, int] = (0, 1),
    ):
        self._source, self._seed = source, seed
        self._error = None
        worker, workers = share
        if batch_size % workers:
            raise UserError(f"batch_size {batch_size} must be a multiple of the {workers} workers")
        rows = batch_size // workers
        size = source.crop_size

        def load(positions):
            own = positions[worker * rows : (worker + 1) * rows]
            # One call for the batch: each has to wait for Python's lock.
            pixels = tf.numpy_function(self._examples, [own], tf.uint8)
            pixels = tf.ensure_shape(pixels, (source.pictures, rows, size, size, 3))
            colors = tf.cast(pixels, tf.float32) / 255
            if channels == 1:
                colors = tf.tensordot(colors, LUMA, 1)[..., tf.newaxis]
            *blurred, sharp = tf.unstack(colors)
            return tf.concat(blurred, axis=-1), sharp

        self._dataset = (
            tf.data.Dataset.counter(start_step * batch_size)
            .batch(batch_size)
            .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .prefetch(2)
        )

    def _examples(self, positions) -> np.ndarray:
        try:
            return make_batch(self._source, positions, self._seed)
        except Exception as error:
            # tf.data would give it back with a traceback inside the message.
            self._error = self._error or error
            raise

    def __iter__(self):
        try:
            yield from self._dataset
        except tf.errors.OpError as error:
            raise (self._error or error) from None
