"""The training loss (section 3.3 of the paper), on any Keras backend."""

from keras import ops

from srn_tf.networks.pyramid import pyramid


def l2_of_scales(sharp, outputs) -> list:
    """The mean squared error of each scale, coarse to fine: 1/N_i * ||output_i - sharp_i||^2.

    Args:
        sharp: [batch, height, width, channels] in [0, 1].
        outputs: restored pictures, coarse to fine, the last of the size of `sharp`.

    Returns:
        A list of float32 scalars.
    """
    targets = pyramid(ops.cast(sharp, "float32"), len(outputs))
    return [
        ops.mean(ops.square(ops.cast(output, "float32") - target))
        for output, target in zip(outputs, targets, strict=True)
    ]


def weighted_loss(losses, weights):
    """The loss, a float32 scalar: the sum of the scales' losses, float32 [scales], by weight."""
    return ops.sum(losses * weights)


def multi_scale_l2(sharp, outputs):
    """The loss of the paper, all weights 1: the sum of `l2_of_scales`."""
    return sum(l2_of_scales(sharp, outputs))
