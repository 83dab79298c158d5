"""The training step on Keras' JAX backend: one compiled function, without TensorFlow.

For GPUs where there is no TensorFlow, or JAX is the faster. One device trains.
"""

import contextlib
import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np

from srn_tf import UserError
from srn_tf.training.config import Feed, TrainingConfig
from srn_tf.training.losses import losses_of_scales, weighted_loss


class OneDevice:
    """The device that trains; see `loop.Devices`."""

    workers, index, is_chief, replicas = 1, 0, True, 1
    scope = staticmethod(contextlib.nullcontext)

    @property
    def description(self) -> str:
        return f"JAX, {jax.devices()[0].device_kind}"

    def check(self, config: TrainingConfig) -> None:
        if config.precision == "float16":
            raise UserError("precision must be float32 or bfloat16 on JAX, not float16")

    def total(self, numbers: list) -> list:
        return numbers

    def copy_from_chief(self, variables) -> None:
        pass

    @contextlib.contextmanager
    def one_line_errors(self, config: TrainingConfig):
        """Says in one line what JAX says in many."""
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise UserError(config.out_of_memory) from None


class JaxTrainer:
    """A network, its optimizer, and the step that improves it, on one device; see `loop.Trainer`.

    The step works on copies of their variables, on the device; `synchronize` brings them back.

    Args:
        model: a network of this package.
        optimizer: a Keras optimizer, which does not scale the loss.
        clip_norm: global norm to which the gradients of the recurrent cells are clipped; 0 is off.
        clip_all: the same of all gradients together, before.
        accumulate: parts that a batch is computed in, one after the other, to save memory; the
            numbers are those of the whole.
        scale_weights: what the loss of each scale counts, coarse to fine; default: 1.
        loss, spectrum: see `losses.losses_of_scales`.
    """

    def __init__(
        self,
        model,
        optimizer,
        *,
        clip_norm: float = 0.0,
        clip_all: float = 0.0,
        accumulate: int = 1,
        scale_weights: tuple[float, ...] = (),
        loss: str = "l2",
        spectrum: float = 0.0,
    ):
        optimizer.build(model.trainable_variables)
        self.model, self.optimizer = model, optimizer
        self._clip_norm, self._clip_all, self._accumulate = clip_norm, clip_all, accumulate
        self._kind = loss, spectrum
        self._schedule = getattr(optimizer, "schedule", None)
        self._scale_weights = jnp.asarray(scale_weights or (1.0,) * model.config.scales)
        self._variables = list(model.trainable_variables), list(optimizer.variables)
        recurrent = {variable.path for variable in model.recurrent_variables}
        self._recurrent = [variable.path in recurrent for variable in self._variables[0]]
        self._now = self._pairs = None
        # What goes in is given away: weights and moments are changed in place.
        self._compiled = jax.jit(self._step, donate_argnums=(0, 1))
        self._forward = jax.jit(lambda weights, pictures: self._outputs(weights, pictures)[-1])

    @contextlib.contextmanager
    def batches(self, config, source, first: int, last: int, share, feed: Feed):
        # Here, not above: the step alone runs where there is no OpenCV.
        from srn_tf.data.processes import BatchProcesses
        from srn_tf.training import device_pairs

        if feed.device_data == "on" or (feed.device_data == "auto" and device_pairs.fits(source)):
            if self._pairs is None:
                self._pairs = device_pairs.DevicePairs(source, config.seed, config.network.channels)
            size = config.batch_size
            positions = (range(step * size, (step + 1) * size) for step in range(first, last))
            yield map(self._pairs.batch, positions)
            return

        to_pictures = jax.jit(functools.partial(_to_pictures, channels=config.network.channels))
        size, seed = config.batch_size, config.seed
        with BatchProcesses(config.data, size, seed, first, last, feed.processes) as batches:
            yield map(to_pictures, batches)

    def step(self, blurred, sharp) -> dict:
        if self._now is None:
            self._now = jax.tree.map(lambda variable: variable.value.copy(), self._variables)
        length = self._schedule.length.value if self._schedule else 0
        *self._now, numbers = self._compiled(*self._now, length, blurred, sharp)
        return numbers

    def restart(self) -> None:
        self._now = None

    def _step(self, weights, state, length, blurred, sharp):
        # The length of the run may change, and would be a constant of the compiled function.
        with self._schedule.of_length(length) if self._schedule else contextlib.nullcontext():
            return self._step_at_rate(weights, state, blurred, sharp)

    def _step_at_rate(self, weights, state, blurred, sharp):
        (loss, losses), gradients = self._loss_and_gradients(weights, blurred, sharp)
        with keras.StatelessScope(zip(self._variables[1], state, strict=True)):
            learning_rate = self.optimizer.learning_rate
        norm = _norm(gradients)
        numbers = {"loss": loss, "loss_per_scale": losses, "gradient_norm": norm}
        numbers |= {"lr": jnp.asarray(learning_rate)}
        if self._clip_all:
            factor = self._clip_all / jnp.maximum(norm, self._clip_all)
            gradients = [gradient * factor for gradient in gradients]
        if self._clip_norm:
            pairs = list(zip(gradients, self._recurrent, strict=True))
            norm = _norm([gradient for gradient, recurrent in pairs if recurrent])
            factor = self._clip_norm / jnp.maximum(norm, self._clip_norm)
            gradients = [g * factor if recurrent else g for g, recurrent in pairs]
        return *self.optimizer.stateless_apply(state, gradients, weights), numbers

    def _loss_and_gradients(self, weights, blurred, sharp):
        """((loss, losses of the scales), gradients) of a batch, in parts if asked for."""
        compute = jax.value_and_grad(self._loss, has_aux=True)
        if self._accumulate == 1:
            return compute(weights, blurred, sharp)

        def add(total, part):
            return jax.tree.map(jnp.add, total, compute(weights, *part)), None

        parts = [p.reshape(self._accumulate, -1, *p.shape[1:]) for p in (blurred, sharp)]
        shapes = jax.eval_shape(compute, weights, *(part[0] for part in parts))
        zeros = jax.tree.map(lambda number: jnp.zeros(number.shape, number.dtype), shapes)
        total, _ = jax.lax.scan(add, zeros, parts)
        return jax.tree.map(lambda number: number / self._accumulate, total)

    def _loss(self, weights, blurred, sharp):
        outputs = self._outputs(weights, blurred, training=True)
        losses = jnp.stack(losses_of_scales(sharp, outputs, *self._kind))
        return weighted_loss(losses, self._scale_weights), losses

    def _outputs(self, weights, pictures, training: bool = False):
        # As model.stateless_call, which does not tell the layers that this is training.
        with keras.StatelessScope(zip(self._variables[0], weights, strict=True)):
            return self.model(pictures, training=training)

    def synchronize(self) -> None:
        if self._now is not None:
            for variables, values in zip(self._variables, self._now, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value.copy())  # the next step takes `value` itself

    def start_profile(self, folder: str) -> None:
        jax.profiler.start_trace(folder)

    def stop_profile(self) -> None:
        jax.profiler.stop_trace()

    def restore(self, pictures):
        return self._forward([variable.value for variable in self._variables[0]], pictures)

    def deblur_batch(self, images: np.ndarray) -> np.ndarray:
        from srn_tf.restoration.normalize import restore_arrays

        config = self.model.config

        def restore(blurred, peak):
            return np.array(self.restore(jnp.asarray(blurred, jnp.float32) / peak))

        return restore_arrays(images, config.channels, restore, config.input_channels)


def _norm(gradients):
    return jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))


def _to_pictures(pixels, channels: int):
    """uint8 [pictures, ..., 3] -> blurred, with what comes with it behind, and sharp: float32 [...,
    channels] in [0, 1]; one channel is luma."""
    from srn_tf.images.rgb import LUMA

    colors = pixels.astype("float32") / 255
    if channels == 1:
        colors = jnp.tensordot(colors, jnp.asarray(LUMA), 1)[..., None]
    *blurred, sharp = colors
    return jnp.concatenate(blurred, axis=-1), sharp
