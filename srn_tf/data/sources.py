"""The examples that a configuration names."""

from srn_tf.data.augmentation import AugmentedSource
from srn_tf.data.camera import Camera
from srn_tf.data.config import DataConfig
from srn_tf.data.examples import Source
from srn_tf.data.packed import PackedSource
from srn_tf.data.pair_list import PairSource
from srn_tf.data.photographs import SyntheticSource


def create_source(config: DataConfig, check: bool = True) -> Source:
    """The examples of a configuration: pairs of a list, as files or packed, or synthesized blur.

    Args:
        config: which.
        check: look at all pictures before; off where another process has done so.

    Raises:
        UserError: if they cannot be used.
    """
    size = config.crop_size
    if config.packed:
        source = PackedSource(config.packed, size)
    elif config.datalist:
        source = PairSource(config.datalist, config.data_root, size, check)
    else:
        blur = {name: getattr(config, name) for name in _BLUR}
        camera = Camera(config.camera_noise, config.highlights, config.optics)
        source = SyntheticSource(config.sharp_path, size, **blur, camera=camera, check=check)
    changes = {name: getattr(config, name) for name in _CHANGES}
    return AugmentedSource(source, **changes) if any(changes.values()) else source


_BLUR = (
    *("max_blur", "min_blur", "magnify", "keep_sharp", "shallow"),
    *("target", "light", "moving_part"),
)
_CHANGES = ("flips", "turns", "noise", "saturation", "jpeg")
