"""The scale-recurrent network (Tao et al., CVPR 2018, section 3).

    features    = encoder([blurred_i, upsample(estimate_{i+1})])
    code, state = cell(features, upsample(state_{i+1}))
    estimate_i  = decoder(code, features)

The same three layers work at every scale, coarse to fine. At the coarsest scale the estimate is
the blurred image itself and the state is zero. Pictures are [batch, height, width, channels] in
[0, 1]; sizes are multiples of 16.
"""

import keras
from keras import ops

from srn_tf.config import ModelConfig
from srn_tf.networks.layers import CELLS, Decoder, Encoder
from srn_tf.networks.pyramid import pyramid, upsample


class ScaleRecurrentNetwork(keras.Model):
    """Blurred picture in, restored pictures out, coarse to fine.

    Pictures stay in float32 between the scales whatever the precision inside: a bfloat16 picture
    has fewer than 8 bits.

    Args:
        config: what the network is made of.
        dtype: Keras dtype policy, such as "float32" or "mixed_bfloat16".
    """

    def __init__(self, config: ModelConfig, dtype="float32", name="srn"):
        super().__init__(dtype=dtype, autocast=False, name=name)
        self.config = config
        self.networks = [
            ScaleNetwork(config, dtype=dtype, name="g_net" if config.shared else f"g_net_{i}")
            for i in range(1 if config.shared else config.scales)
        ]

    def call(self, blurred) -> list:
        """[batch, height, width, channels] in [0, 1] -> one picture a scale, the last full size.

        Raises:
            ValueError: if height or width is not a multiple of `config.size_multiple`.
        """
        multiple = self.config.size_multiple
        for axis, size in (("height", blurred.shape[1]), ("width", blurred.shape[2])):
            if size is not None and (size == 0 or size % multiple):
                raise ValueError(
                    f"{axis} {size} is not a multiple of {multiple}: pad the picture first "
                    "(srn_tf.Deblurrer takes any size)"
                )
        blurred = ops.cast(blurred, "float32")
        estimate, state, outputs = None, None, []
        for scale, image in enumerate(pyramid(blurred, self.config.scales)):
            if scale == 0:
                estimate = image
            else:
                estimate, state = self.enlarge(estimate, state)
            estimate, state = self.step(scale, image, estimate, state)
            outputs.append(estimate)
        return outputs

    def enlarge(self, estimate, state):
        """The estimate and state of one scale, as the next finer scale gets them.

        As in the authors' program, gradients pass through the state but not the estimate.
        """
        return upsample(ops.stop_gradient(estimate)), tuple(upsample(part) for part in state)

    def step(self, scale: int, blurred, estimate, state):
        """One scale.

        Args:
            scale: 0 is the coarsest.
            blurred, estimate: float32 [batch, height, width, channels] of this scale.
            state: the cell's state at this size, None at the coarsest scale.

        Returns:
            The new estimate (float32) and state.
        """
        network = self.networks[0 if self.config.shared else scale]
        output, state = network(ops.concatenate([blurred, estimate], axis=-1), state)
        output = ops.cast(output, "float32")
        return (blurred + output if self.config.residual else output), state

    @property
    def recurrent_variables(self) -> list:
        """The trainable variables of the recurrent cells, whose gradients the paper clips."""
        return [v for network in self.networks for v in network.cell.trainable_variables]


class ScaleNetwork(keras.layers.Layer):
    """Encoder, cell and decoder: what one scale runs."""

    def __init__(self, config: ModelConfig, **kwargs):
        super().__init__(**kwargs)
        self.encoder = Encoder(config, name="encoder", dtype=self.dtype_policy)
        self.cell = CELLS[config.recurrence](
            *([] if config.recurrence == "none" else [config.widths[-1]]),
            name="convLSTM" if config.recurrence == "lstm" else "cell",
            dtype=self.dtype_policy,
        )
        self.decoder = Decoder(config, name="decoder", dtype=self.dtype_policy)

    def call(self, x, state=None):
        """[batch, H, W, 2 * channels], state or None -> ([batch, H, W, channels], state)."""
        features = self.encoder(x)
        code, state = self.cell(features[-1], state)
        return self.decoder(code, features), state
