"""The parts of the network (section 3 of the paper): blocks, encoder, recurrent cells, decoder.

All arrays are [batch, height, width, channels]. Layers carry the names of the stages in the
authors' checkpoints (enc1_1 ... dec1_0), so a variable is found under the same name in both.
Convolutions pad as TensorFlow's SAME and start from Xavier (Glorot) uniform kernels, zero biases;
in networks with a global residual, which start as the identity, the last of a block and of the
network start from zeros.
"""

import inspect

import keras
from keras import ops

from srn_tf.networks.configs import NetworkConfig, SRNConfig, from_json, to_json

register = keras.saving.register_keras_serializable("srn_tf")


class Composite(keras.layers.Layer):
    """A layer made of layers, which see one another's results in their order, unless a subclass
    says otherwise; it gives what it was given in shape, with the last one's channels.

    A subclass keeps what its constructor takes under the same names: that is its configuration.
    """

    @property
    def layers(self) -> list:
        """Those it is made of, in their order, as a network's; `summary` shows them."""
        return list(self._flatten_layers(include_self=False, recursive=False))

    def get_config(self) -> dict:
        names = inspect.signature(type(self).__init__).parameters.keys() - {"self", "kwargs"}
        values = {name: getattr(self, name) for name in sorted(names)}
        if isinstance(values.get("config"), NetworkConfig):
            values["config"] = to_json(values["config"])
        return super().get_config() | values

    @classmethod
    def from_config(cls, config: dict):
        if "config" in config:
            config = config | {"config": from_json(config["config"])}
        return super().from_config(config)

    def build(self, input_shape) -> None:
        for layer in self.layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape) -> tuple:
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)

    def compute_output_spec(self, *args, **kwargs):
        # Found by tracing: the shape above leaves out the states that some give beside a picture.
        return keras.Operation.compute_output_spec(self, *args, **kwargs)


@register
class ChannelNorm(Composite):
    """Each pixel divided by the root mean square of its channels, times a learnt factor a channel
    (Zhang and Sennrich, NeurIPS 2019). It depends on that pixel alone, so tiles can be restored."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones", name="scale")

    def call(self, x):
        square = ops.mean(ops.square(ops.cast(x, "float32")), axis=-1, keepdims=True)
        return x * ops.cast(ops.rsqrt(square + 1e-6), x.dtype) * ops.cast(self.scale, x.dtype)


@register
class ResBlock(Composite):
    """conv-ReLU-conv, plus the input; no normalization and no ReLU after the sum (section 3.2).

    Args:
        width: feature channels of input and output.
        kernel_size: of both convolutions.
        identity: the second kernel starts from zeros, so that the block gives its input at first.
        norm: normalise what the first convolution sees over its channels.
    """

    def __init__(
        self, width: int, kernel_size: int, identity: bool = False, norm: bool = False, **kwargs
    ):
        super().__init__(**kwargs)
        self.width, self.kernel_size, self.identity, self.norm = width, kernel_size, identity, norm
        self.normalize = ChannelNorm(name="norm", dtype=self.dtype_policy) if norm else None
        options = {"padding": "same", "dtype": self.dtype_policy}
        self.conv1 = keras.layers.Conv2D(
            width, kernel_size, activation="relu", name="conv1", **options
        )
        self.conv2 = keras.layers.Conv2D(
            width,
            kernel_size,
            kernel_initializer="zeros" if identity else "glorot_uniform",
            name="conv2",
            **options,
        )

    def call(self, x):
        return x + self.conv2(self.conv1(self.normalize(x) if self.norm else x))


@register
class PlainBlock(ResBlock):
    """The same two convolutions without the sum, a ReLU after each (SR-Flat and SR-ED, Table 1)."""

    def call(self, x):
        return ops.relu(self.conv2(self.conv1(x)))


def _blocks(config: SRNConfig, level: int, names, dtype) -> list:
    block = {"residual": ResBlock, "plain": PlainBlock}[config.block]
    identity = config.residual and config.block == "residual"
    options = {"identity": identity, "norm": config.norm, "dtype": dtype}
    width = config.widths[level - 1]
    return [block(width, config.kernel_size, name=name, **options) for name in names]


@register
class Encoder(Composite):
    """One strided convolution and some blocks a level; gives the features of every level."""

    def __init__(self, config: SRNConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.levels = []
        for level, width in enumerate(config.widths, start=1):
            conv = keras.layers.Conv2D(
                width,
                config.kernel_size,
                strides=1 if level == 1 else config.stride,
                padding="same",
                activation="relu",
                name=f"enc{level}_1",
                dtype=self.dtype_policy,
            )
            names = [f"enc{level}_{i + 2}" for i in range(config.blocks_of_levels[level - 1])]
            self.levels.append([conv, *_blocks(config, level, names, self.dtype_policy)])

    def compute_output_shape(self, input_shape) -> list:
        shapes = [tuple(input_shape)]
        for conv, *_ in self.levels:
            shapes.append(conv.compute_output_shape(shapes[-1]))
        return shapes[1:]

    def call(self, x) -> list:
        """[batch, H, W, 2 * channels] -> features of each level, finest first."""
        features = []
        for level in self.levels:
            for layer in level:
                x = layer(x)
            features.append(x)
        return features


@register
class DoublingConv(keras.layers.Conv2DTranspose):
    """Transposed convolution, 4x4 with stride 2, in TensorFlow's SAME: doubles height and width.

    In use it is computed as two convolutions of stride 1, into which TensorFlow merges bias and
    ReLU: on a processor, in bfloat16, that takes a third to two thirds of the time. A transposed
    convolution slides the flipped kernel over pixels with zeros between them, so even rows of the
    result see one half of the kernel's rows, odd rows the other. Each of the two convolutions
    gives every second row; even and odd columns are its channels, side by side as they lie in
    memory. Training keeps to the one convolution, whose gradients cost less.
    """

    def __init__(self, width: int, **kwargs):
        super().__init__(width, 4, strides=2, padding="same", **kwargs)

    def get_config(self) -> dict:
        config = super().get_config()
        for fixed in ("kernel_size", "strides", "padding"):
            del config[fixed]
        return {"width": config.pop("filters"), **config}

    def call(self, x, training=False):
        if training:
            return super().call(x)
        batch, height, width, _ = ops.shape(x)
        kernel = ops.transpose(self.kernel, (0, 1, 3, 2))
        # Split and joined: slices with a stride, which would do the same, go number by number.
        a, b, c, d = ops.split(kernel, 4, axis=1)
        zero = ops.zeros_like(a)
        columns = [ops.concatenate(taps, axis=1) for taps in ((d, b, zero), (zero, c, a))]
        taps = ops.split(ops.concatenate(columns, axis=-1), 4, axis=0)
        bias = ops.concatenate([self.bias, self.bias])
        rows = []
        for i in (0, 1):
            seen = ops.pad(x, [(0, 0), (1 - i, i), (1, 1), (0, 0)])
            half = ops.concatenate([taps[3 - i], taps[1 - i]], axis=0)
            row = self.activation(ops.add(ops.conv(seen, half), bias))
            rows.append(ops.reshape(row, (batch, height, 2 * width, self.filters)))
        return ops.reshape(ops.stack(rows, axis=2), (batch, 2 * height, 2 * width, self.filters))


def weights_of(config: SRNConfig) -> int:
    """How many weights a network gives for each pixel: of the blurred picture and its candidates,
    where there are any."""
    return 1 + config.candidates if config.candidates else 0


@register
class Decoder(Composite):
    """Blocks and a transposed convolution a level, plus the encoder's features of that level."""

    def __init__(self, config: SRNConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.skips = config.stride == 2
        self.levels = []
        for level in range(len(config.widths), 0, -1):
            names = [f"dec{level}_{i}" for i in range(config.blocks_of_levels[level - 1], 0, -1)]
            layers = _blocks(config, level, names, self.dtype_policy)
            if level < len(config.widths):
                layers = [self._enlarge(config, level), *layers]
            self.levels.append(layers)
        self.output_conv = keras.layers.Conv2D(
            (config.channels + weights_of(config)) * config.patch**2,
            config.kernel_size,
            padding="same",
            kernel_initializer="zeros" if config.residual else "glorot_uniform",
            name="dec1_0",
            dtype=self.dtype_policy,
        )

    def _enlarge(self, config: SRNConfig, level: int):
        options = {
            "activation": "relu",
            "name": f"dec{level}_{config.blocks_of_levels[level - 1] + 1}",
            "dtype": self.dtype_policy,
        }
        width = config.widths[level - 1]
        if config.stride == 1:
            return keras.layers.Conv2D(width, config.kernel_size, padding="same", **options)
        return DoublingConv(width, **options)

    def call(self, x, features):
        """Features of the coarsest level, and the encoder's of all levels, to [batch, H, W, C]."""
        first, *finer = self.levels
        for block in first:
            x = block(x)
        for (enlarge, *blocks), skip in zip(finer, reversed(features[:-1]), strict=True):
            x = enlarge(x)
            if self.skips:
                x = x + skip
            for block in blocks:
                x = block(x)
        return self.output_conv(x)


@register
class ConvLSTMCell(Composite):
    """Convolutional LSTM (Shi et al., NIPS 2015) that carries a state from scale to scale.

        i, j, f, o = split(conv3x3([x, h]))
        c' = c * sigmoid(f + 1) + sigmoid(i) * tanh(j)
        h' = tanh(c') * sigmoid(o)

    The order of the gates and the forget bias of 1, which is added here and not stored, are the
    authors'. So is the start: kernel from a normal distribution cut at two sigma of 1e-3.
    """

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.conv = keras.layers.Conv2D(
            4 * width,
            3,
            padding="same",
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=1e-3),
            name="LSTM_conv",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape) -> None:
        self.conv.build((*input_shape[:-1], 2 * self.width))

    def compute_output_shape(self, input_shape) -> tuple:
        return tuple(input_shape)

    def call(self, x, state=None):
        """x [batch, h, w, width], state (hidden, cell) of that shape or None -> (hidden, state)."""
        hidden, cell = state or (ops.zeros_like(x), ops.zeros_like(x))
        gates = self.conv(ops.concatenate([x, hidden], axis=-1))
        i, j, f, o = ops.split(gates, 4, axis=-1)
        cell = cell * ops.sigmoid(f + 1.0) + ops.sigmoid(i) * ops.tanh(j)
        hidden = ops.tanh(cell) * ops.sigmoid(o)
        return hidden, (hidden, cell)


@register
class ConvRNNCell(Composite):
    """Plain convolutional RNN (Table 1): h' = tanh(conv3x3([x, h])), output conv3x3(h')."""

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        options = {"padding": "same", "dtype": self.dtype_policy}
        self.hidden_conv = keras.layers.Conv2D(
            width, 3, activation="tanh", name="hidden_conv", **options
        )
        self.output_conv = keras.layers.Conv2D(width, 3, name="output_conv", **options)

    def build(self, input_shape) -> None:
        self.hidden_conv.build((*input_shape[:-1], 2 * self.width))
        self.output_conv.build(input_shape)

    def call(self, x, state=None):
        """x [batch, h, w, width], state (hidden,) of that shape or None -> (output, state)."""
        (hidden,) = state or (ops.zeros_like(x),)
        hidden = self.hidden_conv(ops.concatenate([x, hidden], axis=-1))
        return self.output_conv(hidden), (hidden,)


@register
class SumCell(Composite):
    """The least that is recurrent: h' = ReLU(conv3x3(x + h)), which is output and state."""

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.conv = keras.layers.Conv2D(
            width, 3, padding="same", activation="relu", name="conv", dtype=self.dtype_policy
        )

    def call(self, x, state=None):
        """x [batch, h, w, width], state (hidden,) of that shape or None -> (hidden, state)."""
        hidden = self.conv(x + state[0] if state else x)
        return hidden, (hidden,)


@register
class ConvCell(Composite):
    """A 3x3 convolution with ReLU in place of a recurrent cell (Table 1): it carries no state."""

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.conv = keras.layers.Conv2D(
            width, 3, padding="same", activation="relu", name="conv", dtype=self.dtype_policy
        )

    def call(self, x, state=None):
        return self.conv(x), ()


@register
class NoCell(Composite):
    """Encoder and decoder joined directly, as in the authors' models gray and color."""

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def call(self, x, state=None):
        return x, ()


CELLS = {
    "lstm": ConvLSTMCell,
    "rnn": ConvRNNCell,
    "sum": SumCell,
    "conv": ConvCell,
    "none": NoCell,
}
