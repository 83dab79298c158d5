"""The tf.data pipeline: batches that are a function of (seed, position) alone.

Position p of a run is example p % n of epoch p // n, in an order shuffled anew every epoch by a
permutation that needs no buffer. So a run can start at any step and sees what it would have seen.
"""

import numpy as np
import tensorflow as tf

from srn_tf.images import LUMA


class Batches:
    """An endless stream of training batches, from any step on.

    Args:
        source: has a length, and `example(index, rng)` -> (blurred, sharp), uint8 [size, size, 3].
        batch_size: examples a batch.
        channels: 3, or 1 for luma.
        seed: of order and crops.
        start_step: the first batch given is that of this step.

    Iterating gives (blurred, sharp), float32 [batch, size, size, channels] in [0, 1]. It raises
    what the source raises.
    """

    def __init__(self, source, batch_size: int, channels: int, seed: int, start_step: int = 0):
        self._source, self._seed = source, seed
        self._error = None
        size = source.crop_size
        count = len(source)

        def order(position):
            epoch, place = position // count, position % count
            # The seed must be two or more numbers, the largest index is inclusive.
            index = tf.random.experimental.index_shuffle(place, [seed, epoch], count - 1)
            return index, position

        def load(index, position):
            example = tf.numpy_function(self._example, [index, position], [tf.uint8, tf.uint8])
            return tuple(tf.ensure_shape(part, (size, size, 3)) for part in example)

        def to_float(*pair):
            pictures = [tf.cast(part, tf.float32) / 255 for part in pair]
            if channels == 1:
                pictures = [tf.tensordot(p, LUMA, 1)[..., tf.newaxis] for p in pictures]
            return tuple(pictures)

        self._dataset = (
            tf.data.Dataset.counter(start_step * batch_size)
            .map(order)
            .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .batch(batch_size, drop_remainder=True)
            .map(to_float)
            .prefetch(2)
        )

    def _example(self, index, position):
        try:
            rng = np.random.default_rng([self._seed, int(position)])
            return self._source.example(int(index), rng)
        except Exception as error:
            # tf.data would give it back with a traceback inside the message.
            self._error = self._error or error
            raise

    def __iter__(self):
        try:
            yield from self._dataset
        except tf.errors.OpError as error:
            raise (self._error or ValueError(str(error))) from None
