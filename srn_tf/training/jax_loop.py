"""Training on Keras' JAX backend: for GPUs where there is no TensorFlow, or JAX is the faster.

Configuration, examples, step, run folder and checkpoints are those of `loop`. One device
trains. Validation, TensorBoard, clipping, float16 and batches in parts are in `loop` alone.
"""

import contextlib
import functools
import math
import time

import jax
import jax.numpy as jnp
import keras
import numpy as np

from srn_tf.checkpoints.load import initialize
from srn_tf.data.processes import BatchProcesses
from srn_tf.data.sources import create_source
from srn_tf.images.rgb import LUMA
from srn_tf.networks.create import create_model_from_config
from srn_tf.options import PRECISIONS
from srn_tf.progress import progress
from srn_tf.training.config import TrainingConfig
from srn_tf.training.jax_trainer import JaxTrainer
from srn_tf.training.optimizer import create_optimizer
from srn_tf.training.run_folder import RunFolder, diverged
from srn_tf.training.signals import Signals


def train(
    config: TrainingConfig,
    run_dir,
    *,
    resume: bool = False,
    save_every: int = 1000,
    log_every: int = 20,
    max_minutes: float = 0.0,
    processes: int = 0,
    report=print,
) -> int:
    """Trains a network from its first step to its last, or on from a checkpoint.

    Args:
        config: what to train.
        run_dir: folder for configuration, metrics and checkpoints; see `run_folder`.
        resume: go on from the newest checkpoint of `run_dir`, with the data that come next.
        save_every: steps between checkpoints.
        log_every: steps between looks at the losses, for which the device has to be waited for, and
            which are then written.
        max_minutes: save and stop after so long; 0 is no bound.
        processes: that make the batches; 0: one for each core.
        report: gets each line of news for the user.

    Returns:
        0 if the run came to its end, or to that of its time; else the number of the signal that
        ended it. It is saved in any case.

    Raises:
        ValueError: for what is in `loop` alone, and as `loop.train`.
        FloatingPointError: if the loss is not finite. The last checkpoint stays.
        OSError: if a process that makes the batches died; what was learnt is saved.
    """
    started = time.monotonic()
    for name, off in (("clip_norm", 0), ("accumulate", 1)):
        if (value := getattr(config, name)) != off:
            raise ValueError(f"{name} must be {off} on the JAX backend, not {value}")
    if config.precision == "float16":
        raise ValueError("precision must be float32 or bfloat16 on the JAX backend, not float16")
    source = create_source(config)
    max_steps = config.steps(len(source))
    with RunFolder(config, source, run_dir, resume, report) as run:
        keras.utils.set_random_seed(config.seed)
        model = create_model_from_config(config.network, dtype=PRECISIONS[config.precision])
        trainer = JaxTrainer(
            model,
            create_optimizer(config, max_steps),
            config.clip_all,
            config.scale_weights,
            (config.loss, config.spectrum),
        )
        first = run.restore(trainer) if resume else 0
        if first == 0 and config.init_from:
            initialize(model, config.init_from, config.model)
        device = jax.devices()[0].device_kind
        run.begin(first, f"JAX, {device}")
        for note in source.notes:
            report(note)
        report(
            f"{config.model}: {model.count_params():,} parameters, examples: {len(source)}, "
            f"steps {first} to {max_steps}, on {device}"
        )
        to_pictures = jax.jit(functools.partial(_to_pictures, channels=config.network.channels))
        keeper = _Keeper(run, trainer, config.batch_size)
        step, ended, words = first, first == max_steps, ""
        with (
            Signals() as signals,
            BatchProcesses(config, first, max_steps, processes) as batches,
            progress("training", max_steps, first) as advance,
            _one_line_errors(config),
        ):
            while not ended:
                begun = time.monotonic()
                try:
                    pixels = next(batches)
                except Exception as error:
                    if step > first:  # what was learnt until the data failed is good
                        keeper.write()
                        keeper.save(step)
                    if signals.seen and isinstance(error, OSError):
                        break  # the signal ended the processes, too
                    raise
                waiting = round(time.monotonic() - begun, 4)
                step += 1
                keeper.step(step, waiting, *to_pictures(pixels))
                out_of_time = 0 < 60 * max_minutes < time.monotonic() - started
                ended = step == max_steps or out_of_time or signals.seen > 0
                save = ended or step % save_every == 0
                if save or step % log_every == 0:
                    words = keeper.write()
                advance(words)
                if save:
                    keeper.save(step)
        minutes = (time.monotonic() - started) / 60
        saved = f"saved in {run_dir}" if step else "nothing to save"
        report(f"step {step} of {max_steps} after {minutes:.1f} minutes; {saved}")
        return 0 if step == max_steps else signals.seen


class _Keeper:
    """What goes into the run folder: the metrics of some steps at a time, and checkpoints.

    To look at a loss is to wait for the device, which should have the next step already.
    """

    def __init__(self, run: RunFolder, trainer: JaxTrainer, batch_size: int):
        self.run, self.trainer, self.batch_size = run, trainer, batch_size
        self._rows, self._since = [], time.monotonic()

    def step(self, step: int, waiting: float, blurred, sharp) -> None:
        """One step of the trainer; keeps what is to be written of it, and may still be computed."""
        numbers = self.trainer.step(blurred, sharp)
        self._rows.append({"step": step, "waiting": waiting, **numbers})
        self._batch = blurred, sharp

    def write(self) -> str:
        """Writes the metrics of the steps since the last time; gives a few words of the last.

        Raises:
            FloatingPointError: if a loss is not finite.
        """
        rows = [{name: np.asarray(value).tolist() for name, value in r.items()} for r in self._rows]
        rate = round(self.batch_size * len(rows) / (time.monotonic() - self._since), 1)
        for row in rows:
            if not math.isfinite(row["loss"]):
                raise diverged(f"the loss is {row['loss']}", row["step"], self.run)
            self.run.write_metrics(row | {"pairs_per_second": rate})
        self._rows, self._since = [], time.monotonic()
        return f"loss {rows[-1]['loss']:.5f}  {rate} pairs/s" if rows else ""

    def save(self, step: int) -> None:
        """Saves a checkpoint.

        Raises:
            FloatingPointError: if the network is ruined. Then it is not saved.
        """
        # The losses written were those before a step; what is kept must be good after it.
        if not math.isfinite(loss := self.trainer.loss(*self._batch)):
            raise diverged(f"the loss is {loss}", step, self.run)
        self.trainer.synchronize()
        self.run.save(self.trainer, step)


@contextlib.contextmanager
def _one_line_errors(config: TrainingConfig):
    """Says in one line what JAX says in many."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise ValueError(
            f"not enough memory for a step on {config.batch_size} crops of {config.crop_size}; "
            "lower --batch_size or --crop_size"
        ) from None


def _to_pictures(pixels, channels: int):
    """uint8 [..., 3] -> float32 [..., channels] in [0, 1]; one channel is luma."""
    colors = pixels.astype("float32") / 255
    return colors if channels == 3 else jnp.tensordot(colors, jnp.asarray(LUMA), 1)[..., None]
