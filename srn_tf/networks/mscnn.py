"""The multi-scale CNN of Nah, Kim and Lee, "Deep Multi-scale Convolutional Neural Network for
Dynamic Scene Deblurring", CVPR 2017.

Three networks of the same kind, one a scale. The coarsest sees the blurred image, the others the
blurred image and the coarser output, enlarged by a convolution and a pixel shuffle. Images pass
with 0.5 taken off. Gradients flow from scale to scale.
"""

import keras
from keras import ops

from srn_tf.networks.configs import MSCNNConfig
from srn_tf.networks.layers import Composite, ResBlock, register
from srn_tf.networks.multiscale import MultiScaleNetwork

MEAN = 0.5


@register
class MSCNN(MultiScaleNetwork):
    """The network of an MSCNNConfig; see `MultiScaleNetwork` for what goes in and comes out."""

    def __init__(self, config: MSCNNConfig, dtype="float32"):
        super().__init__(config, dtype=dtype, name="mscnn")
        scales = range(config.scales)
        self.bodies = [Body(config, dtype=dtype, name=f"body_{scale}") for scale in scales]
        self.enlargers = [
            PixelShuffleConv(
                config.channels, config.kernel_size, dtype=dtype, name=f"enlarge_{scale}"
            )
            for scale in scales[1:]
        ]

    def build_step(self, scale: int, size: tuple) -> None:
        channels = self.config.channels
        self.bodies[scale].build((*size, self.config.input_channels + (channels if scale else 0)))
        if scale:
            batch, *sides = size
            coarser = (side and side // 2 for side in sides)
            self.enlargers[scale - 1].build((batch, *coarser, channels))

    def enlarge(self, scale: int, estimate, state):
        return ops.cast(self.enlargers[scale - 1](estimate - MEAN), "float32") + MEAN, state

    def step(self, scale: int, blurred, estimate, state):
        seen = [blurred] if scale == 0 else [blurred, estimate]
        output = self.bodies[scale](ops.concatenate(seen, axis=-1) - MEAN)
        return ops.cast(output, "float32") + MEAN, ()


@register
class Body(Composite):
    """A convolution, ResBlocks, and a convolution back to a picture; the two are linear."""

    def __init__(self, config: MSCNNConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        options = {"padding": "same", "dtype": self.dtype_policy}
        size = config.kernel_size
        self.stages = [
            keras.layers.Conv2D(config.width, size, name="first", **options),
            *(
                ResBlock(config.width, size, name=f"block_{i}", dtype=self.dtype_policy)
                for i in range(1, config.blocks + 1)
            ),
            keras.layers.Conv2D(config.channels, size, name="last", **options),
        ]

    def call(self, x):
        for stage in self.stages:
            x = stage(x)
        return x


@register
class PixelShuffleConv(Composite):
    """Doubles height and width: a convolution to 4 * channels, and a pixel shuffle.

    The shuffle is PyTorch's: channel 4c + 2i + j of a pixel goes to row 2y + i, column 2x + j of
    channel c. (TensorFlow's depth_to_space takes channel (2i + j) * channels + c there.)
    """

    def __init__(self, channels: int, kernel_size: int, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.kernel_size = channels, kernel_size
        self.conv = keras.layers.Conv2D(
            4 * channels, kernel_size, padding="same", name="conv", dtype=self.dtype_policy
        )

    def compute_output_shape(self, input_shape) -> tuple:
        batch, *sides, _ = input_shape
        return (batch, *(side and 2 * side for side in sides), self.channels)

    def call(self, x):
        batch, height, width, _ = ops.shape(x)
        pixels = ops.reshape(self.conv(x), (batch, height, width, self.channels, 2, 2))
        pixels = ops.transpose(pixels, (0, 1, 4, 2, 5, 3))
        return ops.reshape(pixels, (batch, 2 * height, 2 * width, self.channels))
