"""Training: the one loop, on whatever trains (section 4 of the paper).

`step` counts the optimizer's steps from 1; the loss of step k is that before its update. Where the
loop keeps what it learns, and goes on from, is in `run_folder`. What a step is, and which devices
share its work, is known to a trainer and its devices: `tensorflow_trainer` and `cluster`, or
`jax_trainer`. To look at the numbers of a step is to wait for the device, which should have the
next one already: so they are looked at, written and shown some steps at a time.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import signal
import time
import typing
from collections.abc import Callable

import keras
import numpy as np

from srn_tf import UserError
from srn_tf.checkpoints.load import initialize
from srn_tf.data.examples import Source, fingerprint
from srn_tf.data.sources import create_source
from srn_tf.networks.create import create_model_from_config
from srn_tf.options import PRECISIONS
from srn_tf.progress import progress
from srn_tf.training.config import Feed, TrainingConfig
from srn_tf.training.optimizer import averaged, create_optimizer
from srn_tf.training.profiler import Profiler
from srn_tf.training.run_folder import RunFolder, diverged, length_of
from srn_tf.training.signals import Signals
from srn_tf.training.trial import Trial
from srn_tf.training.validation import Validation

ANY_FEED = Feed()
PICTURES = 3  # of a batch, shown in TensorBoard
_LOOK_SECONDS = 30  # the longest time between looks at the losses, where one process trains


class Devices(typing.Protocol):
    """What trains together, of which this process is a worker.

    Attributes:
        workers: how many there are.
        index: of this one, from 0.
        is_chief: whether this one, the first, reads and writes the run folder.
        description: of the devices, for the user.
    """

    workers: int
    index: int
    is_chief: bool
    description: str

    def check(self, config: TrainingConfig) -> None:
        """Raises UserError for what these devices cannot train."""

    def scope(self) -> typing.ContextManager:
        """In it network, optimizer and trainer must be made."""

    def total(self, numbers: list) -> list:
        """The sums over all workers of the numbers that each gives."""

    def copy_from_chief(self, variables) -> None:
        """Gives the variables of all workers the values they have at the chief."""

    def one_line_errors(self, config: TrainingConfig) -> typing.ContextManager:
        """Raises UserError or ConnectionError for what a library says in many lines."""


class Trainer(typing.Protocol):
    """A network, its optimizer, and the step that improves it. Pictures are float32 [batch,
    height, width, channels] in [0, 1], as the library has them."""

    model: typing.Any
    optimizer: typing.Any

    def batches(
        self, config: TrainingConfig, source: Source, first: int, last: int, share, feed: Feed
    ) -> typing.ContextManager:
        """Gives an iterator over (blurred, sharp), this worker's share of the batches of the steps
        after `first` up to `last`."""

    def step(self, blurred, sharp) -> dict:
        """One step of the optimizer.

        Returns:
            float32 numbers of the whole batch before the step, which may still be computed: `loss`;
            `loss_per_scale`, coarse to fine, not weighted; `gradient_norm`, before clipping; `lr`.
        """

    def synchronize(self) -> None:
        """Gives the variables of network and optimizer the values they have after the last step."""

    def restart(self) -> None:
        """The variables of network and optimizer have been given other values, to go on from."""

    def start_profile(self, folder: str) -> None:
        """Begins to write what the devices do, for TensorBoard."""

    def stop_profile(self) -> None:
        """Writes it."""

    def restore(self, pictures):
        """The restored pictures, by the variables as they are."""

    def deblur_batch(self, images: np.ndarray) -> np.ndarray:
        """The same of uint8 [batch, height, width, 3], with what comes with each behind."""


def train(
    config: TrainingConfig,
    run_dir,
    *,
    resume: bool = False,
    validate_every: int = 1000,
    save_every: int = 1000,
    log_every: int = 20,
    max_minutes: float = 0.0,
    minutes: float = 0.0,
    xla: bool = False,
    profile: tuple[int, int] | None = None,
    feed: Feed = ANY_FEED,
    log=print,
) -> int:
    """Trains a network from its first step to its last, or on from a checkpoint, on the backend
    that Keras has, TensorFlow or JAX.

    Args:
        config: what to train.
        run_dir: folder for configuration, metrics and checkpoints; see `run_folder`.
        resume: go on from the newest checkpoint of `run_dir`, exactly.
        validate_every, save_every: steps between validations and between checkpoints.
        log_every: steps between looks at the losses, which are then written and shown.
        max_minutes: save and stop after so long; 0 is no bound.
        xla: compile the network with XLA, for GPUs; JAX always does.
        profile: the first and the last of the steps that TensorBoard's profiler looks at, which
            writes into `run_dir`.
        minutes: give the run the length that it can have in so long, compilation and validations
            counted, by some steps on trial; 0: `config` says how long it is. A run that is resumed
            keeps the length it was given.
        feed: how batches come to the device on JAX.
        log: gets each line of news for the user.

    Returns:
        0 if the run came to its end, or to that of its time; else the number of the signal that
        ended it: SIGINT (Ctrl-C) or SIGTERM. It is saved in any case.

    Raises:
        UserError: if `run_dir` is in use, or of another configuration or data, or cannot be
            written; if data cannot be used; if the devices cannot train it; if steps to be
            profiled are not of this run. What was learnt before that is saved, if it can be.
        FloatingPointError: if the loss or the network's output is not finite. The last checkpoint
            stays.
        ConnectionError: if another worker was lost.
        OSError: if a process that makes the batches died; what was learnt is saved.
    """
    started = time.monotonic()
    make_devices, make_trainer = _backend()
    devices = make_devices()
    devices.check(config)
    source = create_source(config.data)
    if source.pictures != config.network.pictures:
        raise UserError(
            f"the pairs have {source.pictures} pictures each, and {config.model} learns from "
            f"{config.network.pictures}"
        )
    # Only the chief reads and writes the folder: for the other workers there is no run.
    chief = devices.is_chief
    held_out = create_source(config.validation) if chief and config.validation else None
    if minutes and resume:
        config = dataclasses.replace(config, max_steps=length_of(run_dir))
    opened = RunFolder(config, source, run_dir, resume, log) if chief else None
    with opened or contextlib.nullcontext() as run:
        with devices.one_line_errors(config):
            _require_same_on_all(config, source, devices)
            with devices.scope():
                trainer = _create_trainer(make_trainer, config, config.steps(len(source)), xla)
        validation = held_out and Validation(held_out, trainer.deblur_batch, config.seed)
        share = (devices.index, devices.workers)
        if minutes and not config.max_steps:
            with devices.one_line_errors(config):
                trial = Trial(trainer, validation, validate_every, started + 60 * minutes)
                length = trial.length(config, source, share, feed) if chief else 0
                length = int(*devices.total([length]))
            config = dataclasses.replace(config, max_steps=length)
            trainer.optimizer.schedule.length.assign(length)
            if run:
                run.config = config
        max_steps = config.steps(len(source))
        first = _first_step(config, trainer, run, devices, resume)
        profiler = Profiler(trainer, run_dir, profile if run else None, first, max_steps)
        if run:
            run.begin(first, devices.description)
            for note in source.notes:
                log(note)
            log(
                f"{config.model}: {trainer.model.count_params():,} parameters, examples: "
                f"{len(source)}, steps {first} to {max_steps}, on {devices.description}"
            )
        keeper = _Keeper(
            *(config, trainer, run, validation),
            *(validate_every, save_every, log_every, log, devices.workers == 1),
        )
        batches = trainer.batches(config, source, first, max_steps, share, feed)
        deadline = started + 60 * (max_minutes or math.inf)
        with profiler:
            step, ended_by = _take_steps(
                batches, profiler.step, keeper, devices, first, max_steps, deadline
            )
        if run:
            minutes = (time.monotonic() - started) / 60
            saved = f"saved in {run_dir}" if step else "nothing to save"
            log(f"step {step} of {max_steps} after {minutes:.1f} minutes; {saved}")
            if first == max_steps:
                log(f"{run_dir}: is finished; {run.longer}")
    return 0 if step == max_steps else ended_by


def _backend() -> tuple:
    """The devices and the trainer of the backend that Keras has."""
    if keras.backend.backend() == "jax":
        from srn_tf.training.jax_trainer import JaxTrainer, OneDevice

        return OneDevice, JaxTrainer
    from srn_tf.training.cluster import Cluster
    from srn_tf.training.tensorflow_trainer import Trainer

    return Cluster, Trainer


def _require_same_on_all(config: TrainingConfig, source: Source, devices: Devices) -> None:
    text = json.dumps([config.same_on_all_workers(), fingerprint(source)], sort_keys=True)
    # 40 bits, whose sum over all workers is exact.
    mark = int.from_bytes(hashlib.sha256(text.encode()).digest()[:5])
    if devices.total([mark]) != [mark * devices.workers]:
        raise UserError("another worker has other flags or other data: all need the same")


def _create_trainer(make_trainer, config: TrainingConfig, max_steps: int, xla: bool) -> Trainer:
    keras.utils.set_random_seed(config.seed)
    return make_trainer(
        create_model_from_config(config.network, dtype=PRECISIONS[config.precision]),
        create_optimizer(config, max_steps),
        clip_norm=config.clip_norm,
        clip_all=config.clip_all,
        accumulate=config.accumulate,
        scale_weights=config.scale_weights,
        loss=config.loss,
        spectrum=config.spectrum,
        **({"xla": True} if xla else {}),
    )


def _first_step(
    config: TrainingConfig, trainer: Trainer, run: RunFolder | None, devices: Devices, resume: bool
) -> int:
    """The step to go on from, all workers having its numbers."""
    first = run.restore(trainer) if run and resume else 0
    if run and first == 0 and config.init_from:
        initialize(trainer.model, config.init_from, config.model)
    with devices.one_line_errors(config):
        first = int(*devices.total([first]))
        devices.copy_from_chief([*trainer.model.variables, *trainer.optimizer.variables])
    return first


def _take_steps(
    opened,
    take_step: Callable,
    keeper: "_Keeper",
    devices: Devices,
    first: int,
    max_steps: int,
    deadline: float,
) -> tuple[int, int]:
    """Takes the steps after `first`; gives the last one, and the signal that ended them or 0."""
    step, out_of_time, signalled = first, False, False
    with (
        Signals() as signals,
        opened as batches,
        progress("training", max_steps, first, lines=keeper.run is not None) as advance,
    ):
        keeper.begin()
        while step < max_steps and not out_of_time and not signalled:
            begun = time.monotonic()
            try:
                batch = next(batches)
            except Exception as error:
                if step > first:  # what was learnt until the data failed is good
                    keeper.save_now(step)
                if signals.seen and isinstance(error, OSError):
                    break  # the signal ended the processes that make the batches, too
                raise
            waiting = time.monotonic() - begun
            with devices.one_line_errors(keeper.config):
                numbers = take_step(step + 1, batch)
                # All workers leave after the same step.
                out_of_time, signalled = devices.total(
                    [time.monotonic() > deadline, signals.seen > 0]
                )
                step += 1
                row = {"step": step, **numbers, "waiting": round(waiting, 4)}
                keeper.after_step(row, batch, step == max_steps, out_of_time or signalled)
            advance(keeper.words)
    # SIGTERM: the signal was another worker's.
    return step, signals.seen or (signal.SIGTERM if signalled else 0)


@dataclasses.dataclass
class _Keeper:
    """What is done beside the steps: looks at their numbers, validation, and all that goes into
    the run folder.

    Attributes:
        run: None for a worker that is not the chief, which looks alone.
        alone: whether this process may look when it likes: several look after the same steps.
        words: of the last look, for the user.
    """

    config: TrainingConfig
    trainer: Trainer
    run: RunFolder | None
    validation: Validation | None
    validate_every: int
    save_every: int
    log_every: int
    log: Callable
    alone: bool
    words: str = ""

    def begin(self) -> None:
        self._rows, self._since = [], time.monotonic()

    def after_step(self, row: dict, batch, finished: bool, leaving: bool) -> None:
        """Looks, validates, writes metrics and saves, as is due.

        Args:
            row: what to write of the step.
            batch: its blurred and sharp pictures.
            finished: whether the run is at its end.
            leaving: whether it ends before; who sends SIGTERM will not wait for a validation.

        Raises:
            FloatingPointError: if the loss or the network's output is not finite. Then it is not
                saved.
            UserError: if a held-out picture cannot be read, or the folder cannot be written.
        """
        self._rows.append(row)
        step = row["step"]
        save = finished or leaving or step % self.save_every == 0
        validate = self.validation and (finished or step % self.validate_every == 0)
        due = save or validate or step % self.log_every == 0
        if not due and not (self.alone and time.monotonic() - self._since > _LOOK_SECONDS):
            return
        rows = self._look()
        if self.run:
            if save or validate:
                restored = self._restored(batch[0][:PICTURES], step)
            if validate:
                self._validate(rows)
            # Metrics first: a run that is killed between the two goes on from an older checkpoint.
            self.run.write_metrics(rows)
            if due:
                self.run.show_metrics(rows[-1])
            if save:
                self.run.save(self.trainer, step)
                blurred, sharp = (np.asarray(part[:PICTURES]) for part in batch)
                blurred = blurred[..., : sharp.shape[-1]]  # without what comes with it
                shown = np.concatenate([blurred, restored, sharp], axis=2)
                self.run.show_pictures(step, "training", shown)
        self._since = time.monotonic()

    def save_now(self, step: int) -> None:
        """Writes and saves what was learnt, all of it good."""
        rows = self._look()
        if self.run:
            self.run.write_metrics(rows)
            self.trainer.synchronize()
            self.run.save(self.trainer, step)

    def _look(self) -> list[dict]:
        """The numbers of the steps since the last look.

        Raises:
            FloatingPointError: if a loss is not finite; the steps before it are written.
        """
        rows, self._rows = self._rows, []
        rows = [{name: np.asarray(value).tolist() for name, value in r.items()} for r in rows]
        seconds = max(time.monotonic() - self._since, 1e-9)
        rate = round(self.config.batch_size * len(rows) / seconds, 2)
        for number, row in enumerate(rows):
            row["pairs_per_second"] = rate
            if not math.isfinite(row["loss"]):
                if self.run:
                    self.run.write_metrics(rows[:number])
                raise diverged(f"the loss is {row['loss']}", row["step"], self.run)
        if rows:
            self.words = f"loss {rows[-1]['loss']:.5f}  {rate:.1f} pairs/s"
        return rows

    def _restored(self, blurred, step: int) -> np.ndarray:
        """Pictures restored: the loss was that before the step; what is kept must be good after."""
        self.trainer.synchronize()
        restored = np.asarray(self.trainer.restore(blurred))
        if not np.isfinite(restored).all():
            raise diverged("the network's output is not finite", step, self.run)
        return restored

    def _validate(self, rows: list[dict]) -> None:
        """Adds the scores to the last of the rows."""
        step = rows[-1]["step"]
        try:
            with averaged(self.trainer.model, self.trainer.optimizer):
                scores, pictures = self.validation.run()
                is_best = self.run.save_best(self.trainer.model, step, scores)
            self.run.write_pictures(step, pictures)
        except Exception:
            self.run.write_metrics(rows)
            self.run.save(self.trainer, step)  # what was learnt is good
            raise
        rows[-1] |= {f"validation_{name}": scores[name] for name in ("psnr", "ssim", "gain")}
        words = "validation PSNR {psnr:.2f} dB ({gain:+.2f}), SSIM {ssim:.4f}".format(**scores)
        note = ", the best so far" if is_best else ""
        self.log(f"step {step}: {words}{note}")
