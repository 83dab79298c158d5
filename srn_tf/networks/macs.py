"""The work of a network, counted from its layers."""

import math

import keras

from srn_tf.networks.create import create_model

SIDE = 64  # of a picture that all models can take, in pixels


def count_macs(name: str, height: int, width: int, **overrides) -> int:
    """Multiplications of all convolutions for one picture, each time a layer is used.

    Args:
        name, overrides: of the model, as for `create_model`.
        height, width: of the picture, in pixels.
    """
    return count_macs_of(create_model(name, **overrides), height, width)


def count_macs_of(model, height: int, width: int) -> int:
    """The same of a network, which is of no use afterwards: its layers count.

    It replaces their `call` and finds them by Keras' own `_flatten_layers`.
    """
    macs = 0

    def counting(layer):
        call = layer.call

        def counted(x, **kwargs):
            nonlocal macs
            output = call(x, **kwargs)
            # A convolution applies its kernel once for each pixel that comes out, a transposed one
            # once for each that goes in.
            transposed = isinstance(layer, keras.layers.Conv2DTranspose)
            _, rows, columns, _ = (x if transposed else output).shape
            macs += rows * columns * math.prod(layer.kernel.shape)
            return output

        return counted

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
            layer.call = counting(layer)
    picture = keras.KerasTensor((1, height, width, model.config.input_channels))
    keras.Operation.compute_output_spec(model, picture)  # by tracing
    return macs


def macs_a_pixel(name: str, **overrides) -> float:
    """The same for each pixel of a picture: all work is proportional to their number."""
    return count_macs(name, SIDE, SIDE, **overrides) / SIDE**2
