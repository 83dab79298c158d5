"""The training loss (section 3.3 of the paper), on any Keras backend."""

import math

from keras import ops

from srn_tf.config import LOSSES
from srn_tf.networks.pyramid import pyramid

# At 40 dB a picture is as good as sharp: what it still lacks counts little in log_l2.
_SHARP = 1e-4


def loss_of_scales(sharp, outputs, loss: str = "l2") -> list:
    """The loss of each scale, coarse to fine; training minimises their sum.

    Args:
        sharp: [batch, height, width, channels] in [0, 1].
        outputs: restored pictures, coarse to fine, the last of the size of `sharp`.
        loss: "l2" (the paper): the mean squared error, 1/N_i * ||output_i - sharp_i||^2.
            "log_l2": that of each picture in dB above (roughly) 40 dB of PSNR, averaged over the
            pictures, 10 * log10(1 + error / 1e-4), so that a picture with light blur counts as
            much as one with heavy blur.

    Returns:
        A list of float32 scalars.

    Raises:
        ValueError: for an unknown loss.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, not {loss!r}")
    targets = pyramid(ops.cast(sharp, "float32"), len(outputs))
    errors = [
        ops.mean(ops.square(ops.cast(output, "float32") - target), axis=(1, 2, 3))
        for output, target in zip(outputs, targets, strict=True)
    ]
    if loss == "log_l2":
        errors = [10 / math.log(10) * ops.log1p(error / _SHARP) for error in errors]
    return [ops.mean(error) for error in errors]


def multi_scale_l2(sharp, outputs):
    """The paper's loss, a float32 scalar: the sum over the scales."""
    return sum(loss_of_scales(sharp, outputs))
