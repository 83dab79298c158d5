"""The training losses (section 3.3 of the paper has the first), on any Keras backend."""

import keras
from keras import ops

from srn_tf import UserError
from srn_tf.networks.pyramid import pyramid
from srn_tf.options import LOSSES

_CHARBONNIER = 1e-3  # of a value in [0, 1]: below it the loss is round


def losses_of_scales(sharp, outputs, kind: str = "l2", spectrum: float = 0.0) -> list:
    """The loss of each scale, coarse to fine.

    Args:
        sharp: [batch, height, width, channels] in [0, 1].
        outputs: restored pictures, coarse to fine, the last of the size of `sharp`.
        kind: "l2" (the paper): the mean square of the error, 1/N_i * ||output_i - sharp_i||^2;
            "charbonnier": the mean of sqrt(error^2 + 1e-6) (Charbonnier et al., ICIP 1994), which
            is about its absolute value.
        spectrum: weight of the mean absolute value of the error's discrete Fourier transform,
            divided by the root of its size so that it is as large as the error (Cho et al., ICCV
            2021, have such a loss); 0 is off.

    Returns:
        A list of float32 scalars.
    """
    targets = pyramid(ops.cast(sharp, "float32"), len(outputs))
    return [
        _loss(ops.cast(output, "float32") - target, kind, spectrum)
        for output, target in zip(outputs, targets, strict=True)
    ]


def _loss(error, kind: str, spectrum: float):
    if kind == "l2":
        loss = ops.mean(ops.square(error))
    else:
        loss = ops.mean(ops.sqrt(ops.square(error) + _CHARBONNIER**2))
    if spectrum:
        planes = ops.transpose(error, (0, 3, 1, 2))
        parts = ops.fft2((planes, ops.zeros_like(planes)))
        size = ops.cast(planes.shape[2] * planes.shape[3], "float32")
        loss += spectrum * ops.mean(ops.abs(ops.stack(parts))) / ops.sqrt(size)
    return loss


def weighted_loss(losses, weights):
    """The loss, a float32 scalar: the sum of the scales' losses, float32 [scales], by weight."""
    return ops.sum(losses * weights)


def multi_scale_l2(sharp, outputs):
    """The loss of the paper, all weights 1: the sum of the scales' mean squared errors."""
    return sum(losses_of_scales(sharp, outputs))


@keras.saving.register_keras_serializable("srn_tf")
class MultiScaleLoss(keras.losses.Loss):
    """The training loss of a network of this package, for its `compile`, which adds up the scales.

    As `loss=[MultiScaleLoss()] * 3` it goes with `loss_weights`, what each of three scales counts.

    Args:
        kind, spectrum: as for `losses_of_scales`.
        reduction, name, dtype: as for every loss of Keras.

    Raises:
        UserError: for an unknown kind.
    """

    def __init__(
        self,
        kind: str = "l2",
        spectrum: float = 0.0,
        reduction="sum_over_batch_size",
        name: str = "multi_scale_loss",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if kind not in LOSSES:
            raise UserError(f"kind must be one of {', '.join(LOSSES)}, not {kind!r}")
        self.kind, self.spectrum = kind, spectrum

    def call(self, y_true, y_pred):
        """The loss of one scale.

        Args:
            y_true: the sharp picture at full size, [batch, height, width, channels] in [0, 1].
            y_pred: the restored one, as large or smaller by a power of two.
        """
        stride = y_true.shape[1] // y_pred.shape[1]
        target = ops.cast(y_true, "float32")[:, ::stride, ::stride]
        return _loss(ops.cast(y_pred, "float32") - target, self.kind, self.spectrum)

    def get_config(self) -> dict:
        return super().get_config() | {"kind": self.kind, "spectrum": self.spectrum}
