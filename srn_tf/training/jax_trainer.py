"""The training step on Keras' JAX backend: one compiled function, without TensorFlow."""

import jax
import jax.numpy as jnp
import keras

from srn_tf.training.losses import losses_of_scales


class JaxTrainer:
    """A network, its optimizer, and the step that improves it, on one device.

    The step works on copies of their variables, on the device; `synchronize` brings them back.

    Args:
        model: a network of this package.
        optimizer: a Keras optimizer, which does not scale the loss.
        clip_all: global norm to which all gradients together are clipped; 0 is off.
        scale_weights: what the loss of each scale counts, coarse to fine; default: 1.
        loss: (kind, spectrum) of `losses.losses_of_scales`.
    """

    def __init__(
        self,
        model,
        optimizer,
        clip_all: float = 0.0,
        scale_weights: tuple[float, ...] = (),
        loss: tuple[str, float] = ("l2", 0.0),
    ):
        optimizer.build(model.trainable_variables)
        self.model, self.optimizer, self._clip_all = model, optimizer, clip_all
        self._kind = loss
        self._scale_weights = jnp.asarray(scale_weights or (1.0,) * model.config.scales)
        self._variables = list(model.trainable_variables), list(optimizer.variables)
        self._now = None
        # What goes in is given away: weights and moments are changed in place.
        self._compiled = jax.jit(self._step, donate_argnums=(0, 1))
        self._compiled_loss = jax.jit(self._loss)

    def step(self, blurred, sharp) -> dict:
        """One step of the optimizer.

        Args:
            blurred, sharp: float32 [batch, height, width, channels] in [0, 1].

        Returns:
            Of before the step, as arrays that may still be computed: `loss`; `loss_per_scale`,
            coarse to fine, not weighted; `gradient_norm`; `lr`.
        """
        if self._now is None:
            self._now = jax.tree.map(lambda variable: variable.value.copy(), self._variables)
        *self._now, numbers = self._compiled(*self._now, blurred, sharp)
        return numbers

    def _step(self, weights, state, blurred, sharp):
        (loss, losses), gradients = jax.value_and_grad(self._loss, has_aux=True)(
            weights, blurred, sharp
        )
        with keras.StatelessScope(zip(self._variables[1], state, strict=True)):
            learning_rate = self.optimizer.learning_rate
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
        numbers = {"loss": loss, "loss_per_scale": losses, "gradient_norm": norm}
        numbers |= {"lr": jnp.asarray(learning_rate)}
        if self._clip_all:
            factor = self._clip_all / jnp.maximum(norm, self._clip_all)
            gradients = [gradient * factor for gradient in gradients]
        return *self.optimizer.stateless_apply(state, gradients, weights), numbers

    def _loss(self, weights, blurred, sharp):
        # As model.stateless_call, which does not tell the layers that this is training.
        with keras.StatelessScope(zip(self._variables[0], weights, strict=True)):
            outputs = self.model(blurred, training=True)
        losses = jnp.stack(losses_of_scales(sharp, outputs, *self._kind))
        return jnp.sum(losses * self._scale_weights), losses

    def synchronize(self) -> None:
        """Gives the variables of network and optimizer the values they have after the last step."""
        if self._now is not None:
            for variables, values in zip(self._variables, self._now, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value.copy())  # the next step takes `value` itself

    def loss(self, blurred, sharp) -> float:
        """The loss of a batch with the weights of now, after at least one step."""
        loss, _ = self._compiled_loss(self._now[0], blurred, sharp)
        return float(loss)
