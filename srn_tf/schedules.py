"""Learning-rate schedules (section 4 of the paper, and the authors' program), on any backend."""

import keras

from srn_tf.config import DECAYS


def learning_rate_schedule(decay: str, lr: float, end_lr: float, max_steps: int):
    """The learning rate as a function of the step.

    Args:
        decay: "exponential" (the paper): lr * (end_lr / lr) ** (step / max_steps);
            "polynomial" (the authors' program): lr * (1 - step / max_steps) ** 0.3, to 0;
            "cosine": half a wave from lr to end_lr, which gets further in a short run.
        lr: at step 0.
        end_lr: at `max_steps`; not for the polynomial decay.
        max_steps: length of the run.

    Raises:
        ValueError: for an unknown decay.
    """
    if decay == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(lr, max_steps, end_lr / lr)
    if decay == "polynomial":
        return keras.optimizers.schedules.PolynomialDecay(lr, max_steps, 0.0, power=0.3)
    if decay == "cosine":
        return keras.optimizers.schedules.CosineDecay(lr, max_steps, alpha=end_lr / lr)
    raise ValueError(f"decay must be one of {', '.join(DECAYS)}, not {decay!r}")
