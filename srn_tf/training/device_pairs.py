"""Batches from pairs that lie in the device's memory, on Keras' JAX backend.

A GPU then waits for nothing: the processor only draws where each crop lies, as `data.examples` does
for the same (seed, position); cutting, flips, turns, saturation and noise are one compiled function
on the device. (The noise is drawn there, so it is of the same strength but not the same.)
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from srn_tf import UserError
from srn_tf.data.augmentation import AugmentedSource
from srn_tf.data.examples import order, random_corner
from srn_tf.images.rgb import LUMA

SHARE_OF_MEMORY = 0.6  # of what the device has, that pairs may take


class DevicePairs:
    """The pairs of a store on a device.

    Args:
        source: a `data.packed.PackedSource`, or one inside an `AugmentedSource` without JPEG.
        seed: of order and crops.
        channels: 3, or 1 for luma.

    Raises:
        UserError: if the pairs do not lie in a store, or JPEG is asked for.
    """

    def __init__(self, source, seed: int, channels: int):
        self._changes = source if isinstance(source, AugmentedSource) else AugmentedSource(source)
        packed = self._changes.source
        if problem := _problem(source):
            raise UserError(problem)
        self._seed, self._count, self.crop_size = seed, len(source), source.crop_size
        self._shapes = [pair.shape for pair in packed.pairs]
        # Rows of all pictures below each other: a place is a row and a column, whatever the sizes.
        heights = [shape[0] * shape[1] for shape in self._shapes]
        self._first_rows = np.concatenate([[0], np.cumsum(heights)[:-1]])
        width = max(shape[2] for shape in self._shapes)
        rows = np.zeros((sum(heights), 3 * width), np.uint8)
        for first, pair in zip(self._first_rows, packed.pairs, strict=True):
            flat = pair.reshape(-1, 3 * pair.shape[2])
            rows[first : first + len(flat), : flat.shape[1]] = flat
        self._rows = jax.device_put(rows)
        self._cut = jax.jit(functools.partial(_cut, size=self.crop_size, channels=channels))

    def batch(self, positions):
        """The examples at some positions of a run.

        Returns:
            (blurred, sharp), float32 [len(positions), size, size, channels] in [0, 1], on the
            device; blurred has the channels of what comes with it behind its own.
        """
        plans = [self._plan(int(position)) for position in positions]
        return self._cut(self._rows, *map(np.array, zip(*plans, strict=True)))

    def _plan(self, position: int):
        """Rows and column of a crop in each picture of its pair, and how it is changed."""
        index = int(order(self._seed, position // self._count, self._count)[position % self._count])
        rng = np.random.default_rng([self._seed, position])
        pictures, height, width, _ = self._shapes[index]
        top, left = random_corner(rng, (height, width), self.crop_size)
        rows = self._first_rows[index] + top + height * np.arange(pictures)
        flip, turn, saturation, deviation = self._changes.draw(rng)
        key = rng.integers(2**32, dtype=np.uint32)
        return np.int32(rows), np.int32(3 * left), flip, turn, saturation, deviation, key


def fits(source) -> bool:
    """Whether the pairs of a source can lie in the memory of the device, if it tells how much it
    has."""
    if _problem(source):
        return False
    memory = (jax.devices()[0].memory_stats() or {}).get("bytes_limit", 0)
    packed = source.source if isinstance(source, AugmentedSource) else source
    return sum(pair.nbytes for pair in packed.pairs) < SHARE_OF_MEMORY * memory


def _problem(source) -> str:
    changes = source if isinstance(source, AugmentedSource) else AugmentedSource(source)
    if not hasattr(changes.source, "pairs") or not hasattr(changes.source.pairs[0], "nbytes"):
        return "pairs on the device need a store; srn-data blur --pack, or srn-data pack, makes one"
    return "jpeg must be 0 for pairs on the device" if changes.jpeg else ""


def _cut(rows, tops, left, flip, turn, saturation, deviation, key, *, size: int, channels: int):
    """Crops [batch, size, size, pictures * channels] of the store's rows, changed."""

    def one(tops, left, flip, turn, saturation, deviation, key):
        def picture(top):
            crop = jax.lax.dynamic_slice(rows, (top, left), (size, 3 * size))
            return crop.reshape(size, size, 3)

        crops = jax.vmap(picture)(tops)
        crops = jnp.where(flip, crops[:, :, ::-1], crops)
        # Turned by right angles as numpy.rot90 does: 1 is transposed, then upside down.
        crops = jnp.where(turn % 2 == 1, crops.transpose(0, 2, 1, 3), crops)
        crops = jnp.where((turn == 1) | (turn == 2), crops[:, ::-1], crops)
        crops = jnp.where((turn == 2) | (turn == 3), crops[:, :, ::-1], crops)
        values = crops.astype(jnp.float32)
        luma = (values @ jnp.asarray(LUMA, jnp.float32))[..., None]
        changed = jnp.rint(luma + saturation * (values - luma)).clip(0, 255)
        sharp, blurred, *others = jnp.where(saturation == 1, values, changed)
        noise = jax.random.normal(jax.random.key(key), blurred.shape)
        noisy = jnp.rint(blurred + deviation * noise).clip(0, 255)
        blurred = jnp.where(deviation > 0, noisy, blurred)
        return jnp.concatenate([blurred, *others], axis=-1) / 255, sharp / 255

    blurred, sharp = jax.vmap(one)(tops, left, flip, turn, saturation, deviation, key)
    if channels == 3:
        return blurred, sharp
    return tuple(
        jnp.tensordot(colors.reshape(*colors.shape[:-1], -1, 3), jnp.asarray(LUMA), 1)
        for colors in (blurred, sharp)
    )
