"""The network of Gao, Tao, Shen and Jia, "Dynamic Scene Deblurring with Parameter Selective Sharing
and Nested Skip Connections", CVPR 2019.

An encoder-decoder at three scales. What extracts features and changes their size belongs to a scale
alone; the nested blocks between are shared by the scales, and each is applied twice in a row. One
channel: R, G and B pass as a batch of three. Layers carry the names of the authors' checkpoints.
"""

import keras
from keras import ops

from srn_tf.networks.configs import PSSNSCConfig
from srn_tf.networks.layers import Composite, DoublingConv, ResBlock, register
from srn_tf.networks.multiscale import MultiScaleNetwork


@register
class PSSNSC(MultiScaleNetwork):
    """The network of a PSSNSCConfig; see `MultiScaleNetwork` for what goes in and comes out."""

    def __init__(self, config: PSSNSCConfig, dtype="float32"):
        super().__init__(config, dtype=dtype, name="pss_nsc")
        options = {"padding": "same", "dtype": dtype}
        one, two, three = config.widths

        def conv(width, name, strides=1, activation="relu"):
            return keras.layers.Conv2D(
                width, 3, strides=strides, activation=activation, name=name, **options
            )

        def enlarge(width, name):
            return DoublingConv(width, activation="relu", name=name, dtype=dtype)

        def block(width, name):
            return NestedBlock(width, name=name, dtype=dtype)

        self.own = [
            {
                "enc1_1": conv(one, f"enc1_1_{scale}"),
                "enc2_1": conv(two, f"enc2_1_{scale}", strides=2),
                "enc3_1": conv(three, f"enc3_1_{scale}", strides=2),
                "dec2_3": enlarge(two, f"dec2_3_{scale}"),
                "dec1_3": enlarge(one, f"dec1_3_{scale}"),
                "dec1_0": conv(config.channels, f"dec1_0_{scale}", activation=None),
            }
            for scale in range(config.scales)
        ]
        self.enc1_2, self.enc2_2, self.enc3_2 = (
            block(width, f"enc{level}_2") for level, width in enumerate(config.widths, start=1)
        )
        self.dec1_2, self.dec2_2, self.dec3_2 = (
            block(width, f"dec{level}_2") for level, width in enumerate(config.widths, start=1)
        )

    def build_step(self, scale: int, size: tuple) -> None:
        own = self.own[scale]
        encoder = [own["enc1_1"], self.enc1_2, own["enc2_1"], self.enc2_2, own["enc3_1"]]
        middle = [self.enc3_2, self.dec3_2]
        decoder = [own["dec2_3"], self.dec2_2, own["dec1_3"], self.dec1_2, own["dec1_0"]]
        shape = (*size, self.config.input_channels + self.config.channels)
        for layer in (*encoder, *middle, *decoder):
            if not layer.built:
                layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def step(self, scale: int, blurred, estimate, state):
        own = self.own[scale]
        x = ops.concatenate([blurred, estimate], axis=-1)
        level1 = _twice(self.enc1_2, own["enc1_1"](x))
        level2 = _twice(self.enc2_2, own["enc2_1"](level1))
        level3 = _twice(self.enc3_2, own["enc3_1"](level2))
        x = _twice(self.dec3_2, level3)
        x = _twice(self.dec2_2, own["dec2_3"](x) + level2)
        x = _twice(self.dec1_2, own["dec1_3"](x) + level1)
        return blurred + ops.cast(own["dec1_0"](x), "float32"), ()


def _twice(block, x):
    return block(block(x))


@register
class NestedBlock(Composite):
    """Four units f (conv-ReLU-conv), each of which sees the input and all results before it.

    y1 = f1(x), y2 = f2(x + y1), y3 = f3(x + y1 + y2), y4 = f4(x + y1 + y2 + y3), and the result is
    x + y1 + y2 + y3 + y4: the same as four ResBlocks one after the other.
    """

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.units = [
            ResBlock(width, 3, name=f"d{i}", dtype=self.dtype_policy) for i in range(1, 5)
        ]

    def call(self, x):
        for unit in self.units:
            x = unit(x)
        return x
