"""The examples that a configuration names."""

from srn_tf.data.augmentation import AugmentedSource
from srn_tf.data.packed import PackedSource
from srn_tf.data.pair_list import PairSource
from srn_tf.data.photographs import SyntheticSource
from srn_tf.training.config import TrainingConfig


def create_source(config: TrainingConfig):
    """The examples of a configuration: pairs of a list, as files or packed, or synthesized blur.

    Raises:
        ValueError: if they cannot be used.
    """
    if config.packed:
        source = PackedSource(config.packed, config.crop_size, config.pictures)
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
