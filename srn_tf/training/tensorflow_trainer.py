"""The training step (sections 3.3 and 4 of the paper) on TensorFlow."""

import contextlib
import functools

import numpy as np
import tensorflow as tf

from srn_tf.data.pipeline import Batches
from srn_tf.restoration.deblurrer import Deblurrer
from srn_tf.training.cluster import replicas_here
from srn_tf.training.losses import losses_of_scales, weighted_loss


class Trainer:
    """A network, its optimizer, and the step that improves it; see `loop.Trainer`.

    To be made in the scope of the strategy that network and optimizer were made in.

    Args:
        model: a network of this package.
        optimizer: a Keras optimizer.
        clip_norm: global norm to which the gradients of the recurrent cells are clipped; 0 is off.
        clip_all: the same of all gradients together, before.
        accumulate: parts that a replica's share of the batch is computed in, one after the other,
            to save memory; the numbers are those of the whole.
        xla: compile the network and its gradients with XLA.
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
        xla: bool = False,
        scale_weights: tuple[float, ...] = (),
        loss: str = "l2",
        spectrum: float = 0.0,
    ):
        self.model, self.optimizer = model, optimizer
        self.clip_norm, self.clip_all, self.accumulate = clip_norm, clip_all, accumulate
        self._scale_weights = scale_weights or (1.0,) * model.config.scales
        self._loss = loss, spectrum
        optimizer.build(model.trainable_variables)
        self._recurrent = {variable.path for variable in model.recurrent_variables}
        self._strategy = tf.distribute.get_strategy()
        self._replicas_here = replicas_here(self._strategy)
        # Nothing here needs autograph, which would take seconds.
        self.step = tf.function(self._step, autograph=False)
        self._gradients = tf.function(
            self.loss_and_gradients, autograph=False, jit_compile=xla or None
        )

    def _step(self, blurred, sharp):
        learning_rate = tf.convert_to_tensor(self.optimizer.learning_rate)
        numbers = self._strategy.run(self._replica_step, (blurred, sharp))
        # The same in every replica.
        numbers = {
            name: self._strategy.experimental_local_results(number)[0]
            for name, number in numbers.items()
        }
        return numbers | {"lr": learning_rate}

    def _replica_step(self, blurred, sharp):
        context = tf.distribute.get_replica_context()
        losses, gradients = self._gradients(self._part(blurred), self._part(sharp))
        # Replicas have equal shares: the mean of their means is that of the batch. It is taken
        # here, because the norm, clipping and loss scaling need the gradient of the whole batch;
        # the optimizer, which adds up what the replicas give, gets it in equal parts.
        losses, *gradients = context.all_reduce("MEAN", [losses, *gradients])
        norm = tf.linalg.global_norm(gradients)
        # The gradients may carry a loss scale: so must the bounds.
        scale = self._loss_scale()
        if self.clip_all:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_all * scale, use_norm=norm)
        if self.clip_norm:
            gradients = self._clip(gradients, self.clip_norm * scale)
        replicas = context.num_replicas_in_sync
        self.optimizer.apply([gradient / replicas for gradient in gradients])
        loss = weighted_loss(losses, self._scale_weights)
        return {"loss": loss, "loss_per_scale": losses, "gradient_norm": norm / scale}

    def _part(self, pictures):
        """The rows of this replica, of those of its worker."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        rows = pictures.shape[0] // self._replicas_here
        first = replica % self._replicas_here * rows
        return pictures[first : first + rows]

    def loss_and_gradients(self, blurred, sharp):
        """The losses, and the gradients of their weighted sum, as in `model.trainable_variables`.

        Args:
            blurred, sharp: float32 [batch, height, width, channels] in [0, 1].

        Returns:
            Losses, float32 [scales], coarse to fine, not weighted; gradients, which carry the
            optimizer's loss scale, if any.
        """
        if self.accumulate == 1:
            return self._losses_and_gradients(blurred, sharp)

        # Not Keras' gradient_accumulation_steps: with it the schedule and the moving averages go on
        # with every part, and each part would be clipped and loss-scaled alone.
        def add(total, part):
            return tf.nest.map_structure(tf.add, total, self._losses_and_gradients(*part))

        parts = [
            tf.reshape(pictures, (self.accumulate, -1, *pictures.shape[1:]))
            for pictures in (blurred, sharp)
        ]
        zeros = (
            tf.zeros(self.model.config.scales),
            [tf.zeros(variable.shape) for variable in self.model.trainable_variables],
        )
        total = tf.foldl(add, parts, zeros, parallel_iterations=1)
        return tf.nest.map_structure(lambda number: number / self.accumulate, total)

    def _losses_and_gradients(self, blurred, sharp):
        with tf.GradientTape() as tape:
            outputs = self.model(blurred, training=True)
            losses = tf.stack(losses_of_scales(sharp, outputs, *self._loss))
            scaled = self.optimizer.scale_loss(weighted_loss(losses, self._scale_weights))
        return losses, tape.gradient(scaled, self.model.trainable_variables)

    def _clip(self, gradients, bound):
        variables = self.model.trainable_variables
        recurrent = [i for i, v in enumerate(variables) if v.path in self._recurrent]
        clipped, _ = tf.clip_by_global_norm([gradients[i] for i in recurrent], bound)
        for i, gradient in zip(recurrent, clipped, strict=True):
            gradients[i] = gradient
        return gradients

    def _loss_scale(self):
        return self.optimizer.scale_loss(tf.constant(1.0))

    @contextlib.contextmanager
    def batches(self, config, source, first: int, last: int, share, feed):
        yield iter(
            Batches(source, config.batch_size, config.network.channels, config.seed, first, share)
        )

    def synchronize(self) -> None:
        pass

    def restart(self) -> None:
        pass

    def start_profile(self, folder: str) -> None:
        tf.profiler.experimental.start(folder)

    def stop_profile(self) -> None:
        tf.profiler.experimental.stop()

    def restore(self, pictures):
        return self.model(pictures)[-1]

    def deblur_batch(self, images: np.ndarray) -> np.ndarray:
        return self._deblurrer.deblur_batch(images)

    @functools.cached_property
    def _deblurrer(self) -> Deblurrer:
        return Deblurrer(self.model)

    @property
    def learning_rate(self) -> float:
        """That of the next step."""
        return float(self.optimizer.learning_rate)
