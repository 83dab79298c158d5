"""The walk over scales that all networks of this package share.

    estimate, state = step(scale, blurred of this scale, enlarged estimate, enlarged state)

Coarse to fine. At the coarsest scale the estimate is the blurred image itself and there is no
state. Pictures are [batch, height, width, channels] in [0, 1].
"""

import keras
from keras import ops

from srn_tf import UserError
from srn_tf.networks.configs import from_json, to_json
from srn_tf.networks.pyramid import pyramid, upsample


class MultiScaleNetwork(keras.Model):
    """Blurred picture in, restored pictures out, coarse to fine. Subclasses say what a step is.

    Pictures stay in float32 between the scales whatever the precision inside: a bfloat16 picture
    has fewer than 8 bits.

    Args:
        config: what the network is made of; has `scales` and `size_multiple`.
        dtype: Keras dtype policy, such as "float32" or "mixed_bfloat16".
        name: first part of every variable's path.
    """

    def __init__(self, config, dtype="float32", name=None):
        super().__init__(dtype=dtype, autocast=False, name=name)
        self.config = config

    def get_config(self) -> dict:
        return {"config": to_json(self.config), "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config: dict, custom_objects=None):
        """A network with fresh weights, built: its configuration says what it sees."""
        network = cls(from_json(config["config"]), dtype=config["dtype"])
        network.build(network.any_picture)
        return network

    @property
    def any_picture(self) -> tuple:
        """The shape of what the network sees, of any size."""
        return None, None, None, self.config.input_channels

    def build(self, input_shape) -> None:
        """Makes the variables, of whatever size [batch, height, width, channels] the pictures are.

        Once: from_config has done so before Keras does, when it loads a file.
        """
        if self.built:
            return
        for scale, shape in enumerate(self.compute_output_shape(input_shape)):
            self.build_step(scale, shape[:-1])

    def build_step(self, scale: int, size: tuple) -> None:
        """Makes the variables of one scale.

        Args:
            scale: 0 is the coarsest.
            size: batch, height and width of its pictures, None where any will do.
        """
        raise NotImplementedError

    def compute_output_shape(self, input_shape) -> list[tuple]:
        """The shape of each scale's picture."""
        batch, height, width, _ = input_shape
        strides = [2**i for i in reversed(range(self.config.scales))]
        return [
            (
                batch,
                *(side and -(-side // stride) for side in (height, width)),
                self.config.channels,
            )
            for stride in strides
        ]

    def compute_output_spec(self, blurred, **kwargs) -> list:
        shapes = self.compute_output_shape(blurred.shape)
        return [keras.KerasTensor(shape, "float32") for shape in shapes]

    def export(self, filepath, format="tf_saved_model", input_signature=None, **options):
        """As Keras' own; by default for pictures of any size that `call` takes, but on JAX, where
        the size must be told.

        Raises:
            UserError: if it is not.
        """
        if not input_signature:
            shape = self.any_picture
            if keras.backend.backend() == "jax":
                one = (1, 256, 256, shape[-1])
                raise UserError(
                    "on JAX an export is of one size: give input_signature, such as "
                    f'[keras.InputSpec(shape={one}, dtype="float32")]'
                )
            input_signature = [keras.InputSpec(shape=shape, dtype="float32", name="blurred")]
        super().export(filepath, format, input_signature=input_signature, **options)

    def call(self, blurred) -> list:
        """[batch, height, width, channels] in [0, 1] -> one picture a scale, the last full size.

        Where the configuration has candidates or hints, their channels follow the blurred ones'.

        Raises:
            UserError: if height or width is not a multiple of `config.size_multiple`.
        """
        multiple = self.config.size_multiple
        for axis, size in (("height", blurred.shape[1]), ("width", blurred.shape[2])):
            if size is not None and (size == 0 or size % multiple):
                raise UserError(
                    f"{axis} {size} is not a multiple of {multiple}: pad the picture first "
                    "(srn_tf.Deblurrer takes any size)"
                )
        blurred = ops.cast(blurred, "float32")
        estimate, state, outputs = None, None, []
        for scale, image in enumerate(pyramid(blurred, self.config.scales)):
            if scale == 0:
                estimate = image[..., : self.config.channels]
            else:
                estimate, state = self.enlarge(scale, estimate, state)
            estimate, state = self.step(scale, image, estimate, state)
            outputs.append(estimate)
        return outputs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """As Keras' own; a sharp picture at full size stands for those of all scales."""
        y = y if isinstance(y, list | tuple | dict | None) else [y] * self.config.scales
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict:
        """As Keras' own; with one sharp picture, of the finest scale alone."""
        y_pred = y_pred if isinstance(y, list | tuple | dict | None) else y_pred[-1]
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def enlarge(self, scale: int, estimate, state):
        """The estimate and state of the scale before, as `scale` gets them.

        As in the authors' programs, gradients pass through the state but not the estimate.
        """
        return upsample(ops.stop_gradient(estimate)), tuple(upsample(part) for part in state)

    def step(self, scale: int, blurred, estimate, state):
        """One scale.

        Args:
            scale: 0 is the coarsest.
            blurred: float32 [batch, height, width, config.input_channels] of this scale.
            estimate: float32 [batch, height, width, channels] of this scale.
            state: a tuple of arrays at this size, None at the coarsest scale.

        Returns:
            The new estimate (float32) and state.
        """
        raise NotImplementedError

    @property
    def recurrent_variables(self) -> list:
        """The trainable variables of recurrent cells, whose gradients the paper clips."""
        return []
