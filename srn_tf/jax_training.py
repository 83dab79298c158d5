"""Training on Keras' JAX backend: for GPUs where there is no TensorFlow, or JAX is the faster.

Configuration, run folder and checkpoints are those of `training`, whose step is the same; the order
of the examples is another. The batches are made by processes of their own, because blur made on
the fly costs more than the step on a GPU. One device trains. Validation, TensorBoard, clipping,
float16 and batches in parts are in `training` alone.
"""

import collections
import concurrent.futures
import functools
import math
import multiprocessing
import os
import signal
import time

import cv2
import jax
import jax.numpy as jnp
import keras
import numpy as np

from srn_tf import checkpoints
from srn_tf.config import PRECISIONS, TrainingConfig
from srn_tf.data.sources import create_source, make_batch
from srn_tf.images import LUMA
from srn_tf.jax_trainer import JaxTrainer
from srn_tf.networks import create_model_from_config
from srn_tf.optimizer import create_optimizer
from srn_tf.progress import progress
from srn_tf.runs import Run, diverged
from srn_tf.signals import Signals

_AHEAD = 3  # batches made or being made, for each process


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
        run_dir: folder for configuration, metrics and checkpoints; see `runs`.
        resume: go on from the newest checkpoint of `run_dir`, with the data that come next.
        save_every: steps between checkpoints.
        log_every: steps between looks at the losses, for which the device has to be waited for.
        max_minutes: save and stop after so long; 0 is no bound.
        processes: that make the batches; 0: one for each core.
        report: gets each line of news for the user.

    Returns:
        0 if the run came to its end, or to that of its time; else the number of the signal that
        ended it. It is saved in any case.

    Raises:
        ValueError: for what is in `training` alone, and as `training.train`.
        FloatingPointError: if the loss is not finite. The last checkpoint stays.
    """
    started = time.monotonic()
    for name, off in (("clip_norm", 0), ("accumulate", 1)):
        if (value := getattr(config, name)) != off:
            raise ValueError(f"{name} must be {off} on the JAX backend, not {value}")
    if config.precision == "float16":
        raise ValueError("precision must be float32 or bfloat16 on the JAX backend, not float16")
    source = create_source(config)
    max_steps = config.steps(len(source))
    with Run(config, source, run_dir, resume, report) as run:
        keras.utils.set_random_seed(config.seed)
        model = create_model_from_config(config.network, dtype=PRECISIONS[config.precision])
        trainer = JaxTrainer(model, create_optimizer(config, max_steps), config.scale_weights)
        first = run.restore(trainer) if resume else 0
        if first == 0 and config.init_from:
            checkpoints.initialize(model, config.init_from, config.model)
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
        batches = Batches(config, len(source), first, max_steps, processes)
        with batches, Signals() as signals, progress("training", max_steps, first) as advance:
            while not ended:
                begun = time.monotonic()
                try:
                    pixels = next(batches)
                except Exception:
                    if step > first:  # what was learnt until the data failed is good
                        keeper.write()
                        keeper.save(step)
                    raise
                waiting = round(time.monotonic() - begun, 4)
                step += 1
                keeper.add({"step": step, "waiting": waiting, **trainer.step(*to_pictures(pixels))})
                out_of_time = 0 < 60 * max_minutes < time.monotonic() - started
                ended = step == max_steps or out_of_time or signals.seen > 0
                save = ended or step % save_every == 0
                if save or step % log_every == 0:
                    words = keeper.write()
                advance(words)
                if save:
                    keeper.save(step)
        minutes = (time.monotonic() - started) / 60
        report(f"step {step} of {max_steps} after {minutes:.1f} minutes; saved in {run_dir}")
        return 0 if step == max_steps else signals.seen


class _Keeper:
    """What goes into the run folder: the metrics of some steps at a time, and checkpoints.

    To look at a loss is to wait for the device, which should have the next step already.
    """

    def __init__(self, run: Run, trainer: JaxTrainer, batch_size: int):
        self.run, self.trainer, self.batch_size = run, trainer, batch_size
        self._rows, self._since = [], time.monotonic()

    def add(self, row: dict) -> None:
        """Keeps what is to be written of a step, whose numbers may still be computed."""
        self._rows.append(row)

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
        """Saves a checkpoint."""
        self.trainer.synchronize()
        self.run.save(self.trainer, step)


def _to_pictures(pixels, channels: int):
    """uint8 [..., 3] -> float32 [..., channels] in [0, 1]; one channel is luma."""
    colors = pixels.astype("float32") / 255
    return colors if channels == 3 else jnp.tensordot(colors, jnp.asarray(LUMA), 1)[..., None]


class Batches:
    """The batches of some steps, made by other processes: a function of (seed, step) alone.

    Position p of a run is example p % n of epoch p // n, in an order shuffled anew every epoch.
    A context manager: the processes end with it.

    Args:
        config: of the training.
        count: of the examples.
        first, last: the batches are those of the steps after `first` up to `last`.
        processes: that make them; 0: one for each core.

    Iterating gives uint8 [2, batch_size, size, size, 3]: blurred, then sharp. It raises what the
    source raises.
    """

    def __init__(
        self, config: TrainingConfig, count: int, first: int, last: int, processes: int = 0
    ):
        processes = processes or os.cpu_count()
        # Not forked, which would copy a process in which JAX has threads.
        context = multiprocessing.get_context("spawn")
        self._pool = concurrent.futures.ProcessPoolExecutor(processes, context, _start, (config,))
        size, seed = config.batch_size, config.seed

        @functools.lru_cache(2)
        def order(epoch: int):
            return np.random.default_rng([seed, epoch]).permutation(count)

        def submitted():
            for step in range(first, last):
                positions = range(step * size, (step + 1) * size)
                indices = [order(position // count)[position % count] for position in positions]
                yield self._pool.submit(_make, indices, positions, seed)

        self._submitted = submitted()
        self._ahead = collections.deque()
        self._wanted = _AHEAD * processes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown(cancel_futures=True)

    def __next__(self) -> np.ndarray:
        while len(self._ahead) < self._wanted and (future := next(self._submitted, None)):
            self._ahead.append(future)
        if not self._ahead:
            raise StopIteration
        try:
            return self._ahead.popleft().result()
        except concurrent.futures.BrokenExecutor:
            raise OSError("a process that makes the batches has died; was memory short?") from None


_source = None  # of a process that makes batches


def _start(config: TrainingConfig) -> None:
    global _source
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too; the run ends it
    cv2.setNumThreads(1)
    _source = create_source(config)


def _make(indices, positions, seed: int) -> np.ndarray:
    return make_batch(_source, indices, positions, seed)
