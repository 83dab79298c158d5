"""Adam and its learning rate (section 4 of the paper, and the authors' program), on any backend."""

import contextlib
import math

import keras
from keras import ops

from srn_tf import UserError
from srn_tf.options import DECAYS
from srn_tf.training.config import TrainingConfig


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate as a function of the step.

    Args:
        decay: "exponential" (the paper): lr * (end_lr / lr) ** (step / length);
            "polynomial" (the authors' program): lr * (1 - step / length) ** 0.3, to 0;
            "cosine": half a wave from lr to end_lr, which gets further in a short run.
        lr: at step 0.
        end_lr: at `length`; not for the polynomial decay.
        length: of the run, in steps.
        warmup: steps in which the cosine's rate first rises from 0, evenly.

    Attributes:
        length: a variable, so that a compiled step follows when it changes.

    Raises:
        UserError: for an unknown decay.
    """

    def __init__(self, decay: str, lr: float, end_lr: float, length: int, warmup: int = 0):
        if decay not in DECAYS:
            raise UserError(f"decay must be one of {', '.join(DECAYS)}, not {decay!r}")
        self._decay, self._lr, self._end_lr, self._warmup = decay, lr, end_lr, warmup
        self.length = keras.Variable(float(length), trainable=False, name="length")
        self._length = self.length

    def __call__(self, step):
        step = ops.cast(step, "float32")
        length = ops.cast(self._length, "float32")
        if self._decay == "exponential":
            return self._lr * ops.power(self._end_lr / self._lr, step / length)
        if self._decay == "polynomial":
            return self._lr * ops.power(1 - ops.minimum(step / length, 1), 0.3)
        rest = ops.maximum(length - self._warmup, 1)
        wave = ops.cos(math.pi * ops.clip((step - self._warmup) / rest, 0, 1))
        rate = self._end_lr + (self._lr - self._end_lr) * 0.5 * (1 + wave)
        if not self._warmup:
            return rate
        return ops.where(step < self._warmup, self._lr * step / self._warmup, rate)

    @contextlib.contextmanager
    def of_length(self, length):
        """Inside, the length is this array: for a function that is traced with it."""
        self._length = length
        try:
            yield
        finally:
            self._length = self.length

    def get_config(self) -> dict:
        return {
            **{"decay": self._decay, "lr": self._lr, "end_lr": self._end_lr},
            **{"length": int(ops.convert_to_numpy(self.length)), "warmup": self._warmup},
        }


def create_optimizer(config: TrainingConfig, max_steps: int):
    """Adam (0.9, beta_2, 1e-8) on the schedule, scaling the loss when computing in float16.

    Its attribute `schedule` is the Schedule.
    """
    schedule = Schedule(config.decay, config.lr, config.end_lr, max_steps, config.warmup)
    # Named, because the names stand in checkpoints and Keras would number them.
    optimizer = keras.optimizers.Adam(
        schedule,
        beta_1=0.9,
        beta_2=config.beta_2,
        epsilon=1e-8,
        use_ema=config.ema > 0,
        ema_momentum=config.ema,
        name="adam",
    )
    if config.precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    optimizer.schedule = schedule
    return optimizer


@contextlib.contextmanager
def averaged(model, optimizer):
    """Inside, the network has the moving averages of its weights, where they are kept."""
    variables = model.trainable_variables
    weights = [variable.numpy() for variable in variables]
    optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, weight in zip(variables, weights, strict=True):
            variable.assign(weight)
