"""Adam and its learning rate (section 4 of the paper, and the authors' program), on any backend."""

import contextlib

import keras

from srn_tf import UserError
from srn_tf.options import DECAYS
from srn_tf.training.config import TrainingConfig


def learning_rate_schedule(decay: str, lr: float, end_lr: float, max_steps: int, warmup: int = 0):
    """The learning rate as a function of the step.

    Args:
        decay: "exponential" (the paper): lr * (end_lr / lr) ** (step / max_steps);
            "polynomial" (the authors' program): lr * (1 - step / max_steps) ** 0.3, to 0;
            "cosine": half a wave from lr to end_lr, which gets further in a short run.
        lr: at step 0.
        end_lr: at `max_steps`; not for the polynomial decay.
        max_steps: length of the run.
        warmup: steps in which the cosine's rate first rises from 0, evenly.

    Raises:
        UserError: for an unknown decay.
    """
    if decay == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(lr, max_steps, end_lr / lr)
    if decay == "polynomial":
        return keras.optimizers.schedules.PolynomialDecay(lr, max_steps, 0.0, power=0.3)
    if decay == "cosine":
        if not warmup:
            return keras.optimizers.schedules.CosineDecay(lr, max_steps, alpha=end_lr / lr)
        return keras.optimizers.schedules.CosineDecay(
            0.0, max(1, max_steps - warmup), end_lr / lr, warmup_target=lr, warmup_steps=warmup
        )
    raise UserError(f"decay must be one of {', '.join(DECAYS)}, not {decay!r}")


def create_optimizer(config: TrainingConfig, max_steps: int):
    """Adam (0.9, beta_2, 1e-8) on the schedule, scaling the loss when computing in float16."""
    schedule = learning_rate_schedule(
        config.decay, config.lr, config.end_lr, max_steps, config.warmup
    )
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
        return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
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
