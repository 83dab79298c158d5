"""Training (sections 3.3 and 4 of the paper): the step, the loop, save and resume.

    run_dir/config.json        the configuration
    run_dir/metrics.jsonl      one JSON object a logged step: step, loss, lr, pictures_per_second
    run_dir/checkpoints/       step_<number>.npz, the last few
    run_dir/events.out.*       for TensorBoard

`step` counts the optimizer's steps from 1; the loss of step k is that before its update.
"""

import hashlib
import json
import math
import pathlib
import signal
import sys
import threading
import time

import keras
import numpy as np
import tensorflow as tf

from srn_tf import __version__, checkpoints
from srn_tf.config import PRECISIONS, TrainingConfig
from srn_tf.data.lists import PairSource
from srn_tf.data.pipeline import Batches
from srn_tf.data.synthesis import SyntheticSource
from srn_tf.files import atomic_file
from srn_tf.losses import multi_scale_l2
from srn_tf.networks import create_model_from_config
from srn_tf.progress import progress
from srn_tf.schedules import learning_rate_schedule

CHECKPOINTS_KEPT = 3
PICTURES = 3  # of a batch, shown in TensorBoard


def create_optimizer(config: TrainingConfig, max_steps: int):
    """Adam (0.9, 0.999, 1e-8) on the schedule, scaling the loss when computing in float16."""
    schedule = learning_rate_schedule(config.decay, config.lr, config.end_lr, max_steps)
    # Named, because the names stand in checkpoints and Keras would number them.
    optimizer = keras.optimizers.Adam(schedule, beta_1=0.9, beta_2=0.999, epsilon=1e-8, name="adam")
    if config.precision == "float16":
        return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer


class Trainer:
    """A network, its optimizer, and the step that improves it.

    Args:
        model: a network of this package.
        optimizer: a Keras optimizer.
        clip_norm: global norm to which the gradients of the recurrent cells are clipped; 0 is off.
    """

    def __init__(self, model, optimizer, clip_norm: float = 0.0):
        self.model, self.optimizer, self.clip_norm = model, optimizer, clip_norm
        optimizer.build(model.trainable_variables)
        self._recurrent = {variable.path for variable in model.recurrent_variables}
        self.step = tf.function(self._step)

    def loss_and_gradients(self, blurred, sharp):
        """The loss, and its gradients in the order of `model.trainable_variables`.

        Args:
            blurred, sharp: float32 [batch, height, width, channels] in [0, 1].

        Returns:
            Loss, a float32 scalar; gradients, which carry the optimizer's loss scale, if any.
        """
        with tf.GradientTape() as tape:
            loss = multi_scale_l2(sharp, self.model(blurred, training=True))
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.model.trainable_variables)
        return loss, self._clip(gradients) if self.clip_norm else gradients

    def _clip(self, gradients):
        # The gradients may carry a loss scale: so must the bound.
        bound = self.optimizer.scale_loss(tf.constant(self.clip_norm))
        variables = self.model.trainable_variables
        recurrent = [i for i, v in enumerate(variables) if v.path in self._recurrent]
        clipped, _ = tf.clip_by_global_norm([gradients[i] for i in recurrent], bound)
        for i, gradient in zip(recurrent, clipped, strict=True):
            gradients[i] = gradient
        return gradients

    def _step(self, blurred, sharp):
        """One step of the optimizer; gives the loss before it."""
        loss, gradients = self.loss_and_gradients(blurred, sharp)
        self.optimizer.apply(gradients)
        return loss

    @property
    def learning_rate(self) -> float:
        """That of the next step."""
        return float(self.optimizer.learning_rate)


def create_source(config: TrainingConfig):
    """The training examples of a configuration: pairs of a list, or synthesized blur."""
    if config.datalist:
        return PairSource(config.datalist, config.data_root, config.crop_size)
    return SyntheticSource(config.sharp_path, config.crop_size, config.max_blur)


def train(
    config: TrainingConfig,
    run_dir,
    *,
    resume: bool = False,
    save_every: int = 1000,
    log_every: int = 20,
    max_minutes: float = 0.0,
    report=print,
) -> bool:
    """Trains a network from its first step to its last, or on from a checkpoint.

    Args:
        config: what to train.
        run_dir: folder for configuration, metrics and checkpoints.
        resume: go on from the newest checkpoint of `run_dir`, exactly.
        save_every, log_every: steps between checkpoints, and between lines of metrics.
        max_minutes: save and stop after so long; 0 is no bound.
        report: gets each line of news for the user.

    Returns:
        Whether the run came to its end, or to that of its time; False when Ctrl-C ended it. It is
        saved in any case.

    Raises:
        ValueError: if `run_dir` is in use, or of another configuration or data, or if data cannot
            be used. What was learnt before that is saved.
        FloatingPointError: if the loss or the network's output is not finite. The last checkpoint
            stays.
    """
    started = time.monotonic()
    source = create_source(config)
    max_steps = config.steps(len(source))
    run = Run(config, source, run_dir, resume)
    keras.utils.set_random_seed(config.seed)
    model = create_model_from_config(config.network, dtype=PRECISIONS[config.precision])
    trainer = Trainer(model, create_optimizer(config, max_steps), config.clip_norm)
    first = run.restore(trainer) if resume else 0
    if resume and first:
        report(f"resuming at step {first}")
    elif resume:
        report(f"{run_dir}: no checkpoint, starting at step 0")
    run.begin(first)
    report(
        f"{config.model}: {model.count_params():,} parameters, examples: {len(source)}, "
        f"steps {first} to {max_steps}"
    )
    batches = iter(Batches(source, config.batch_size, config.network.channels, config.seed, first))
    step = first
    with (
        _Interrupt() as interrupt,
        run.metrics() as metrics,
        progress("training", max_steps, first) as advance,
    ):
        window_step, window_start, text = first, time.monotonic(), ""
        last = first >= max_steps
        while not last:
            try:
                blurred, sharp = next(batches)
            except Exception:
                if step > first:  # what was learnt until the data failed is good
                    run.save(trainer, step)
                raise
            learning_rate = trainer.learning_rate
            try:
                loss = float(trainer.step(blurred, sharp))
            except (MemoryError, tf.errors.ResourceExhaustedError):
                raise ValueError(
                    f"not enough memory for a step on {config.batch_size} crops of "
                    f"{config.crop_size}; lower --batch_size or --crop_size"
                ) from None
            step += 1
            if not math.isfinite(loss):
                raise _diverged(f"the loss is {loss}", step, run)
            out_of_time = 0 < 60 * max_minutes < time.monotonic() - started
            last = step == max_steps or out_of_time or interrupt.seen
            if step % log_every == 0 or last:
                now = time.monotonic()
                rate = (step - window_step) * config.batch_size / max(now - window_start, 1e-9)
                window_step, window_start = step, now
                metrics.write(
                    step=step, loss=loss, lr=learning_rate, pictures_per_second=round(rate, 2)
                )
                text = f"loss {loss:.5f}  {rate:.1f} pictures/s"
            advance(text)
            if step % save_every == 0 or last:
                # The loss was that before the step; what is saved must be good after it.
                restored = model(blurred[:PICTURES])[-1]
                if not tf.reduce_all(tf.math.is_finite(restored)):
                    raise _diverged("the network's output is not finite", step, run)
                run.save(trainer, step)
                metrics.pictures(step, blurred[:PICTURES], restored, sharp[:PICTURES])
    minutes = (time.monotonic() - started) / 60
    report(f"step {step} of {max_steps} after {minutes:.1f} minutes; saved in {run_dir}")
    return step >= max_steps or not interrupt.seen


def _diverged(what: str, step: int, run: "Run") -> FloatingPointError:
    paths = checkpoints.in_run(run.folder)
    saved = f"the last checkpoint is {paths[-1]}" if paths else "no checkpoint was written"
    return FloatingPointError(
        f"training diverged: {what} at step {step}; {saved}. "
        "A lower --lr or --precision float32, in a new --run_dir, may help"
    )


class Run:
    """A run folder: refuses what does not belong to it, saves and restores.

    Raises:
        ValueError: if the folder is in use and `resume` is off, or its configuration differs.
    """

    def __init__(self, config: TrainingConfig, source, folder, resume: bool):
        self.config = config
        self.folder = pathlib.Path(folder)
        # Order and crops follow from seed and position only while the data stays what it was.
        names = hashlib.sha256("\n".join(source.names).encode(errors="surrogateescape"))
        self.data = {"examples": len(source), "names_sha256": names.hexdigest()}
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{folder}: is a file, not a folder for a run")
        config_file = self.folder / "config.json"
        if not config_file.exists() and not checkpoints.in_run(folder):
            return
        if not resume:
            raise ValueError(f"{folder}: holds a run already; add --resume, or choose another")
        try:
            stored = TrainingConfig.from_json(json.loads(config_file.read_text()))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{config_file}: not the configuration of a run ({error})") from None
        if difference := config.first_difference(stored):
            raise ValueError(f"{folder}: a run of another configuration: {difference}")

    def begin(self, step: int) -> None:
        """Writes the configuration, and forgets metrics after `step`, which come again."""
        with atomic_file(self.folder / "config.json") as temporary:
            temporary.write_text(json.dumps(self.config.to_json(), indent=2) + "\n")
        metrics = self.folder / "metrics.jsonl"
        if metrics.exists():
            kept = [line for line in metrics.read_text().splitlines() if _step_of(line) <= step]
            with atomic_file(metrics) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in kept))

    def metrics(self):
        return _Metrics(self.folder)

    def save(self, trainer: Trainer, step: int) -> None:
        """Saves a checkpoint and removes all but the last few."""
        header = {
            "step": step,
            "training": self.config.to_json(),
            "data": self.data,
            "versions": {
                "srn_tf": __version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
        }
        path = checkpoints.path_of_step(self.folder, step)
        checkpoints.save(path, self.config.model, trainer.model, header, trainer.optimizer)
        for old in checkpoints.in_run(self.folder)[:-CHECKPOINTS_KEPT]:
            old.unlink()

    def restore(self, trainer: Trainer) -> int:
        """Restores network and optimizer from the newest checkpoint, if any; gives its step."""
        paths = checkpoints.in_run(self.folder)
        if not paths:
            return 0
        header, arrays = checkpoints.read(paths[-1])
        if "step" not in header:
            raise ValueError(f"{paths[-1]}: not a checkpoint of a training run")
        if header.get("data") != self.data:
            raise ValueError(
                f"{self.folder}: a run on other data: was {header.get('data')}, is {self.data}"
            )
        variables = checkpoints.variables_by_path(trainer.model.variables, "model")
        variables |= checkpoints.variables_by_path(trainer.optimizer.variables, "optimizer")
        checkpoints.assign(variables, arrays, paths[-1])
        return header["step"]


def _step_of(line: str) -> float:
    """The step of a line of metrics; a torn last line belongs to no step."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


class _Metrics:
    """metrics.jsonl and TensorBoard."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder

    def __enter__(self):
        self._file = open(self._folder / "metrics.jsonl", "a")
        self._board = tf.summary.create_file_writer(str(self._folder))
        return self

    def __exit__(self, *_):
        self._file.close()
        self._board.close()

    def write(self, step: int, **values) -> None:
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        with self._board.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def pictures(self, step: int, blurred, restored, sharp) -> None:
        """Pictures side by side: blurred, restored, sharp."""
        rows = tf.concat([blurred, tf.clip_by_value(restored, 0, 1), sharp], axis=2)
        with self._board.as_default(step):
            tf.summary.image("blurred, restored, sharp", rows, max_outputs=PICTURES)
        self._board.flush()


class _Interrupt:
    """Turns the first Ctrl-C into a request to end after this step; the second one ends at once."""

    seen = False

    def __enter__(self):
        # Python handles signals in the main thread alone.
        self._active = threading.current_thread() is threading.main_thread()
        if self._active:
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_):
        if self._active:
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, signum, frame):
        self.seen = True
        signal.signal(signal.SIGINT, self._previous)
        print("\nending after this step; Ctrl-C again ends at once", file=sys.stderr)
