"""The examples that a training configuration names, one by one and in batches."""

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


def make_batch(source, indices, positions, seed: int) -> np.ndarray:
    """Examples of a source, each a function of the seed and of its position in the run alone.

    Args:
        source: has `crop_size`, and `example(index, rng)` -> (blurred, sharp), uint8
            [size, size, 3].
        indices: which examples.
        positions: theirs in the run, counted from its first example.
        seed: of the run.

    Returns:
        uint8 [2, len(indices), size, size, 3]: blurred, then sharp.

    Raises:
        ValueError: as the source.
    """
    size = source.crop_size
    pixels = np.empty((2, len(indices), size, size, 3), np.uint8)
    for row, (index, position) in enumerate(zip(indices, positions, strict=True)):
        rng = np.random.default_rng([seed, int(position)])
        pixels[0, row], pixels[1, row] = source.example(int(index), rng)
    return pixels
