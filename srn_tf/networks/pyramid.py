"""The pyramid of scales: how pictures and states are made smaller and larger.

The authors' program resizes with TensorFlow 1's bilinear rule: no half-pixel centers, no
antialiasing. Halving therefore takes every second sample, and doubling keeps sample i at 2i and
puts the mean of i and i+1 at 2i+1. `tf.image.resize` and `keras.ops.image.resize` follow another
rule, with which the authors' weights give wrong pictures.

All arrays are [batch, height, width, channels]; every list of scales is ordered coarse to fine.
"""

from keras import ops


def pyramid(image, scales: int) -> list:
    """The image at `scales` sizes, coarse to fine; the last one is the image itself."""
    return [image[:, :: 2**i, :: 2**i] for i in reversed(range(scales))]


def upsample(x):
    """Doubles height and width."""
    return _double(_double(x, axis=1), axis=2)


def _double(x, axis: int):
    tail = [slice(None)] * 4
    tail[axis] = slice(1, None)
    last = [slice(None)] * 4
    last[axis] = slice(-1, None)
    following = ops.concatenate([x[tuple(tail)], x[tuple(last)]], axis=axis)
    pairs = ops.stack([x, (x + following) * 0.5], axis=axis + 1)
    shape = list(ops.shape(x))
    shape[axis] *= 2
    return ops.reshape(pairs, shape)


def pad_to_multiple(image, multiple: int):
    """Pads bottom and right by repeating the edge, to the next multiple of `multiple`.

    Returns:
        The padded image, and the function that crops a picture of that size back.
    """
    _, height, width, _ = ops.shape(image)

    def indices(size):
        # (-size) % multiple would be shorter, but ONNX computes it wrongly.
        padded = (size + multiple - 1) // multiple * multiple
        return ops.minimum(ops.arange(padded), size - 1)

    padded = ops.take(ops.take(image, indices(height), axis=1), indices(width), axis=2)
    return padded, lambda restored: restored[:, :height, :width]
