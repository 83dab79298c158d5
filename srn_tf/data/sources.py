"""The examples that a training configuration names, one by one and in batches.

Position p of a run is example p % n of epoch p // n, in an order shuffled anew every epoch. What is
at a position is a function of (seed, position) alone: a run can start at any step and sees what it
would have seen, and several workers can each make their rows of the same batches.
"""

import functools

import numpy as np

from srn_tf.config import TrainingConfig
from srn_tf.data.augmentation import AugmentedSource
from srn_tf.data.lists import PairSource
from srn_tf.data.store import PackedSource
from srn_tf.data.synthesis import SyntheticSource


def create_source(config: TrainingConfig):
    """The examples of a configuration: pairs of a list, as files or packed, or synthesized blur.

    Raises:
        ValueError: if they cannot be used.
    """
    if config.packed:
        source = PackedSource(config.packed, config.crop_size)
    elif config.datalist:
        source = PairSource(config.datalist, config.data_root, config.crop_size)
    else:
        source = SyntheticSource(
            config.sharp_path,
            config.crop_size,
            config.max_blur,
            config.min_blur,
            config.magnify,
            config.keep_sharp,
        )
    changes = (config.flips, config.turns, config.noise, config.saturation, config.jpeg)
    return AugmentedSource(source, *changes) if any(changes) else source


@functools.lru_cache(2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


def make_batch(source, positions, seed: int) -> np.ndarray:
    """The examples at some positions of a run.

    Args:
        source: has a length, `crop_size`, and `example(index, rng)` -> (blurred, sharp), uint8
            [size, size, 3].
        positions: counted from the first example of the run.
        seed: of order and crops.

    Returns:
        uint8 [2, len(positions), size, size, 3]: blurred, then sharp.

    Raises:
        ValueError: as the source.
    """
    size, count = source.crop_size, len(source)
    pixels = np.empty((2, len(positions), size, size, 3), np.uint8)
    for row, position in enumerate(map(int, positions)):
        index = int(_order(seed, position // count, count)[position % count])
        rng = np.random.default_rng([seed, position])
        pixels[0, row], pixels[1, row] = source.example(index, rng)
    return pixels
