"""Training (sections 3.3 and 4 of the paper): the step and the loop.

`step` counts the optimizer's steps from 1; the loss of step k is that before its update. Where the
loop keeps what it learns, and goes on from, is in `run_folder`; which devices share its work, in
`cluster`.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import signal
import time
from collections.abc import Callable

import keras
import tensorflow as tf

from srn_tf.checkpoints.load import initialize
from srn_tf.data.examples import fingerprint
from srn_tf.data.pipeline import Batches
from srn_tf.data.sources import create_source
from srn_tf.networks.create import create_model_from_config
from srn_tf.options import PRECISIONS
from srn_tf.progress import progress
from srn_tf.training.cluster import Cluster
from srn_tf.training.config import TrainingConfig
from srn_tf.training.optimizer import averaged, create_optimizer
from srn_tf.training.run_folder import RunFolder, diverged
from srn_tf.training.signals import Signals
from srn_tf.training.tensorflow_trainer import Trainer
from srn_tf.training.validation import Validation

PICTURES = 3  # of a batch, shown in TensorBoard


def train(
    config: TrainingConfig,
    run_dir,
    *,
    held_out: TrainingConfig | None = None,
    resume: bool = False,
    validate_every: int = 1000,
    save_every: int = 1000,
    log_every: int = 20,
    max_minutes: float = 0.0,
    xla: bool = False,
    report=print,
) -> int:
    """Trains a network from its first step to its last, or on from a checkpoint.

    Args:
        config: what to train.
        run_dir: folder for configuration, metrics and checkpoints; see `run_folder`.
        held_out: a configuration with the data to validate with.
        resume: go on from the newest checkpoint of `run_dir`, exactly.
        validate_every, save_every, log_every: steps between validations, between checkpoints, and
            between points in TensorBoard.
        max_minutes: save and stop after so long; 0 is no bound.
        xla: compile the network with XLA, for GPUs.
        report: gets each line of news for the user.

    Returns:
        0 if the run came to its end, or to that of its time; else the number of the signal that
        ended it: SIGINT (Ctrl-C) or SIGTERM. It is saved in any case.

    Raises:
        ValueError: if `run_dir` is in use, or of another configuration or data, or cannot be
            written; if data cannot be used; if the batch cannot be divided over the devices. What
            was learnt before that is saved, if it can be.
        FloatingPointError: if the loss or the network's output is not finite. The last checkpoint
            stays.
        ConnectionError: if another worker was lost.
    """
    started = time.monotonic()
    cluster = Cluster()
    parts = cluster.replicas * config.accumulate
    if config.batch_size % parts:
        raise ValueError(
            f"batch_size {config.batch_size} must be a multiple of {parts}: "
            f"devices {cluster.replicas}, accumulate {config.accumulate}"
        )
    source = create_source(config)
    max_steps = config.steps(len(source))
    # Only the chief reads and writes the folder: for the other workers there is no run.
    held_out_source = held_out and cluster.is_chief and create_source(held_out)
    opened = RunFolder(config, source, run_dir, resume, report) if cluster.is_chief else None
    with opened or contextlib.nullcontext() as run:
        with _one_line_errors(config, cluster):
            (marks,) = cluster.total([mark := _mark(config, source)])
        if marks != mark * cluster.workers:
            raise ValueError("another worker has other flags or other data: all need the same")
        with _one_line_errors(config, cluster), cluster.strategy.scope():
            keras.utils.set_random_seed(config.seed)
            model = create_model_from_config(config.network, dtype=PRECISIONS[config.precision])
            optimizer = create_optimizer(config, max_steps)
            trainer = Trainer(
                model,
                optimizer,
                config.clip_norm,
                config.clip_all,
                config.accumulate,
                xla,
                config.scale_weights,
                (config.loss, config.spectrum),
            )
        first, chief = 0, None
        if run:
            first = run.restore(trainer) if resume else 0
            if first == 0 and config.init_from:
                initialize(model, config.init_from, config.model)
        with _one_line_errors(config, cluster):
            first = int(*cluster.total([first]))
            cluster.copy_from_chief([*model.variables, *optimizer.variables])
        if run:
            validation = held_out and Validation(held_out_source, model, config.seed)
            chief = _Chief(run, trainer, validation, validate_every, save_every, log_every, report)
            run.begin(first, cluster.description)
            for note in source.notes:
                report(note)
            report(
                f"{config.model}: {model.count_params():,} parameters, examples: {len(source)}, "
                f"steps {first} to {max_steps}, on {cluster.description}"
            )
        share = (cluster.index, cluster.workers)
        batches = iter(
            Batches(
                source,
                config.batch_size,
                config.network.channels,
                config.seed,
                first,
                share,
                config.pictures,
            )
        )
        step, out_of_time, signalled = first, False, False
        with Signals() as signals, progress("training", max_steps, first) as advance:
            while step < max_steps and not out_of_time and not signalled:
                begun = time.monotonic()
                try:
                    blurred, sharp = next(batches)
                except Exception:
                    if chief and step > first:  # what was learnt until the data failed is good
                        run.save(trainer, step)
                    raise
                waiting = time.monotonic() - begun
                learning_rate = trainer.learning_rate
                with _one_line_errors(config, cluster):
                    numbers = trainer.step(blurred, sharp)
                    numbers = {name: number.numpy().tolist() for name, number in numbers.items()}
                    # All workers leave after the same step.
                    out_of_time = 0 < 60 * max_minutes < time.monotonic() - started
                    out_of_time, signalled = cluster.total([out_of_time, signals.seen > 0])
                step += 1
                rate = config.batch_size / max(time.monotonic() - begun, 1e-9)
                if not math.isfinite(numbers["loss"]):
                    raise diverged(f"the loss is {numbers['loss']}", step, run)
                if chief:
                    row = {
                        "step": step,
                        **numbers,
                        "lr": learning_rate,
                        "pairs_per_second": round(rate, 2),
                        "waiting": round(waiting, 4),
                    }
                    pictures = blurred[:PICTURES], sharp[:PICTURES]
                    chief.after_step(row, *pictures, step == max_steps, out_of_time or signalled)
                advance(f"loss {numbers['loss']:.5f}  {rate:.1f} pairs/s")
        minutes = (time.monotonic() - started) / 60
        if chief:
            report(f"step {step} of {max_steps} after {minutes:.1f} minutes; saved in {run_dir}")
        if step == max_steps or not signalled:
            return 0
        return signals.seen or signal.SIGTERM  # another worker's


@dataclasses.dataclass
class _Chief:
    """What the chief does beside training: validation, and all that goes into the run folder."""

    run: RunFolder
    trainer: Trainer
    validation: Validation | None
    validate_every: int
    save_every: int
    log_every: int
    report: Callable

    def after_step(self, row: dict, blurred, sharp, finished: bool, leaving: bool) -> None:
        """Validates, writes metrics and saves, as is due.

        Args:
            row: what to write of the step.
            blurred, sharp: pictures of its batch.
            finished: whether the run is at its end.
            leaving: whether it ends before; who sends SIGTERM will not wait for a validation.

        Raises:
            FloatingPointError: if the network's output is not finite. Then it is not saved.
            ValueError: if a held-out picture cannot be read, or the folder cannot be written.
        """
        run, step = self.run, row["step"]
        save = finished or leaving or step % self.save_every == 0
        validate = self.validation and (finished or step % self.validate_every == 0)
        if save or validate:
            # The loss was that before the step; what is kept must be good after it.
            restored = self.trainer.model(blurred)[-1]
            if not tf.reduce_all(tf.math.is_finite(restored)):
                raise diverged("the network's output is not finite", step, run)
        # Metrics first: a run that is killed between the two goes on from an older checkpoint.
        if validate:
            try:
                row |= self._validate(step)
            except Exception:
                run.write_metrics(row, board=False)
                run.save(self.trainer, step)  # what was learnt is good
                raise
        run.write_metrics(row, board=save or step % self.log_every == 0)
        if save:
            run.save(self.trainer, step)
            run.show_pictures(step, "training", tf.concat([blurred, restored, sharp], axis=2))

    def _validate(self, step: int) -> dict:
        with averaged(self.trainer.model, self.trainer.optimizer):
            scores, pictures = self.validation.run()
            is_best = self.run.save_best(self.trainer.model, step, scores)
        self.run.write_pictures(step, pictures)
        psnr, ssim = scores["psnr"], scores["ssim"]
        note = "the best so far" if is_best else ""
        self.report(f"step {step}: validation PSNR {psnr:.2f} dB, SSIM {ssim:.4f} {note}".rstrip())
        return {"validation_psnr": psnr, "validation_ssim": ssim}


def _mark(config: TrainingConfig, source) -> int:
    """A number of 40 bits, different for another configuration or other data."""
    text = json.dumps([config.without_paths().to_json(), fingerprint(source)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:5])


@contextlib.contextmanager
def _one_line_errors(config: TrainingConfig, cluster: Cluster):
    """Says in one line what TensorFlow says in many."""
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise ValueError(
            f"not enough memory for a step on {config.batch_size} crops of {config.crop_size}; "
            "lower --batch_size or --crop_size, or raise --accumulate"
        ) from None
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError):
        raise ConnectionError(
            f"worker {cluster.index} of {cluster.workers} lost another one; start all of them "
            "again with --resume"
        ) from None
