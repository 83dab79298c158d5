"""The work of a network, counted from its layers."""

import math

import keras

from srn_tf.networks.create import create_model


def macs_a_pixel(name: str, **overrides) -> float:
    """Multiplications of all convolutions for each pixel of a picture, each time a layer is used.

    Args:
        name, overrides: of the model, as for `create_model`.
    """
    return macs_a_pixel_of(create_model(name, **overrides))


def macs_a_pixel_of(model) -> float:
    """The same of a network, which is of no use afterwards: its layers count.

    All work is proportional to the number of pixels, so the smallest picture is enough. It replaces
    the `call` of the layers and finds them by Keras' own `_flatten_layers`.
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
    side = model.config.size_multiple
    model(keras.ops.zeros((1, side, side, model.config.input_channels)))
    return macs / side**2
