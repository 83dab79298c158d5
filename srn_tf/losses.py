"""The training loss (section 3.3 of the paper), on any Keras backend."""

from keras import ops

from srn_tf.networks.pyramid import pyramid


def multi_scale_l2(sharp, outputs):
    """Sum over the scales of the mean squared error: sum_i 1/N_i * ||output_i - sharp_i||^2.

    Args:
        sharp: [batch, height, width, channels] in [0, 1].
        outputs: restored pictures, coarse to fine, the last of the size of `sharp`.

    Returns:
        A float32 scalar.
    """
    targets = pyramid(ops.cast(sharp, "float32"), len(outputs))
    return sum(
        ops.mean(ops.square(ops.cast(output, "float32") - target))
        for output, target in zip(outputs, targets, strict=True)
    )
