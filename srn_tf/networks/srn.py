"""The scale-recurrent network (Tao et al., CVPR 2018, section 3), and the variants of its Table 1.

    features    = encoder([blurred_i, upsample(estimate_{i+1})])
    code, state = cell(features, upsample(state_{i+1}))
    estimate_i  = decoder(code, features)

The same three layers work at every scale, coarse to fine, unless `shared` is off.
"""

import numpy as np
from keras import ops

from srn_tf.networks.configs import SRNConfig
from srn_tf.networks.layers import CELLS, Composite, Decoder, Encoder, register, weights_of
from srn_tf.networks.multiscale import MultiScaleNetwork
from srn_tf.networks.patches import Patches

# Logit that the blurred picture has before its candidates, in a network that has learnt nothing:
# softmax then gives it nearly all.
_START = 3.0


@register
class ScaleRecurrentNetwork(MultiScaleNetwork):
    """The network of a SRNConfig; see `MultiScaleNetwork` for what goes in and comes out."""

    def __init__(self, config: SRNConfig, dtype="float32"):
        super().__init__(config, dtype=dtype, name="srn")
        self.networks = [
            ScaleNetwork(config, dtype=dtype, name="g_net" if config.shared else f"g_net_{i}")
            for i in range(1 if config.shared else config.scales)
        ]
        self.patches = Patches(config)

    def build_step(self, scale: int, size: tuple) -> None:
        network = self._network(scale)
        if not network.built:
            channels = self.config.input_channels + self.config.channels
            network.build(self.patches.shape((*size, channels)))

    def _network(self, scale: int):
        return self.networks[0 if self.config.shared else scale]

    def step(self, scale: int, blurred, estimate, state):
        seen = self.patches.split(ops.concatenate([blurred, estimate], axis=-1))
        output, state = self._network(scale)(seen, state)
        output = self.patches.join(output)
        if not self.config.residual:
            return output, state
        channels, count = self.config.channels, weights_of(self.config)
        picture = blurred[..., :channels]
        if count:
            output, logits = output[..., :channels], output[..., channels:]
            start = ops.convert_to_tensor([_START] + [0.0] * (count - 1), "float32")
            weights = ops.softmax(logits + start)
            pictures = ops.split(blurred[..., : channels * count], count, axis=-1)
            picture = sum(
                weights[..., i : i + 1] * candidate for i, candidate in enumerate(pictures)
            )
        return picture + output, state

    @property
    def recurrent_variables(self) -> list:
        if self.config.recurrence not in ("lstm", "rnn"):
            return []
        return [v for network in self.networks for v in network.cell.trainable_variables]


@register
class ScaleNetwork(Composite):
    """Encoder, cell and decoder: what one scale runs."""

    def __init__(self, config: SRNConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.encoder = Encoder(config, name="encoder", dtype=self.dtype_policy)
        self.cell = CELLS[config.recurrence](
            config.widths[-1],
            name="convLSTM" if config.recurrence == "lstm" else "cell",
            dtype=self.dtype_policy,
        )
        self.decoder = Decoder(config, name="decoder", dtype=self.dtype_policy)

    def build(self, input_shape) -> None:
        self.encoder.build(input_shape)
        code = self.encoder.compute_output_shape(input_shape)[-1]
        self.cell.build(code)
        self.decoder.build(code)

    def compute_output_shape(self, input_shape) -> tuple:
        return (*input_shape[:-1], self.decoder.output_conv.filters)

    def call(self, x, state=None):
        """[batch, H, W, input], state or None -> ([batch, H, W, channels (+ weights)], state), all
        of them of the squares that are one place here."""
        features = self.encoder(x)
        code, state = self.cell(features[-1], state)
        return self.decoder(code, features), state


def with_candidates(path: str, array: np.ndarray, config: SRNConfig) -> np.ndarray:
    """A variable of a network without candidates and hints as the network of `config`, the same but
    for them, has it: zeros from what comes with the picture, and to the weights of each pixel.

    Args:
        path: of the variable in both networks.
        array: its value in the smaller one.
    """
    squares, channels = config.patch**2, config.channels
    if config.whitened:  # a picture after the other, not a pixel after the other
        squares, channels = 1, squares * channels
    if path.endswith("enc1_1/kernel"):
        kernel = array.reshape(*array.shape[:2], squares, 2 * channels, -1)
        more = config.candidates + config.hints
        new = np.zeros((*kernel.shape[:3], more * channels, kernel.shape[-1]))
        parts = [kernel[:, :, :, :channels], new, kernel[:, :, :, channels:]]
        return np.concatenate(parts, axis=3).reshape(*array.shape[:2], -1, array.shape[-1])
    if "/dec1_0/" in path:
        outputs = array.reshape(*array.shape[:-1], squares, channels)
        weights = weights_of(config) * config.patch**2 // squares
        new = np.zeros((*outputs.shape[:-1], weights))
        return np.concatenate([outputs, new], axis=-1).reshape(*array.shape[:-1], -1)
    return array
