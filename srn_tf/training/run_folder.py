"""The folder of a training run: what is kept in it, and how a run goes on from it.

    config.json             the configuration
    starts.jsonl            one JSON object a start: time, step, command line, versions, devices
    metrics.jsonl           one JSON object a step, each step once
    checkpoints/            step_<number>.npz, the last few
    best.npz                the network with the best validation PSNR
    validation/             step_<number>.png: crops blurred, restored and sharp
    events.out.*            for TensorBoard, written on the TensorFlow backend

A line of metrics.jsonl has `step`, `loss`, `loss_per_scale` (coarse to fine), `gradient_norm` (null
where a float16 step overflowed), `lr`, `pairs_per_second`, `waiting` (seconds for data), and after
a validation `validation_psnr` (dB), `validation_ssim` and `validation_gain` (dB, over the blurred).
"""

import contextlib
import datetime
import json
import math
import os
import pathlib
import platform
import shlex
import shutil
import sys

import cv2
import keras
import numpy as np

from srn_tf import UserError, __version__
from srn_tf.atomic import atomic_file
from srn_tf.checkpoints import archive, places
from srn_tf.data.examples import Source, fingerprint
from srn_tf.images.rgb import write_image
from srn_tf.training.config import TrainingConfig
from srn_tf.training.optimizer import averaged

CHECKPOINTS_KEPT = 3
_TORN = ".srn-*"  # the temporary names of `atomic.atomic_file`


def versions() -> dict[str, str]:
    """Of what the numbers of a run depend on."""
    backend = keras.backend.backend()
    return {
        "srn_tf": __version__,
        "python": platform.python_version(),
        backend: sys.modules[backend].__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def length_of(folder) -> int:
    """The steps of the run in a folder, as its configuration says; 0 if it does not."""
    try:
        stored = json.loads((pathlib.Path(folder) / "config.json").read_text())
        return TrainingConfig.from_json(stored).max_steps
    except (OSError, ValueError, TypeError, KeyError):
        return 0


class RunFolder:
    """A run folder: refuses what does not belong to it, saves and restores.

    A context manager: the folder is this process' alone until its end.

    Args:
        config: what is trained.
        source: the training examples.
        folder: of the run.
        resume: go on from the newest checkpoint of the folder.
        log: gets each line of news for the user.

    Raises:
        UserError: if the folder holds a run and `resume` is off, or its configuration differs, or
            another process trains in it. All that writes raises it where the folder cannot be
            written.
    """

    def __init__(self, config: TrainingConfig, source: Source, folder, resume: bool, log=print):
        self.config, self.folder = config, pathlib.Path(folder)
        self._data = fingerprint(source)
        self._data_of_old = fingerprint(source, sizes_alone=True)
        self._log = log
        self._board = None
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{folder}: is a file, not a folder for a run")
        with self.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = places.lock(self.folder)
        config_file = self.folder / "config.json"
        try:
            if not resume:
                places.require_new(folder)
            elif config_file.exists() or places.in_run(folder):
                self._require_same_configuration(config_file)
        except UserError:
            self._lock.release()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if os.listdir(self.folder) == [places.LOCK]:  # nothing came of it
            shutil.rmtree(self.folder)
        self._lock.release()

    def _require_same_configuration(self, config_file) -> None:
        try:
            stored = TrainingConfig.from_json(json.loads(config_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{config_file}: not the configuration of a run ({error})") from None
        if difference := self.config.first_difference(stored):
            hint = f"; {self.longer}" if difference.startswith(("max_steps ", "epochs ")) else ""
            raise UserError(f"{self.folder}: a run of another configuration: {difference}{hint}")

    def restore(self, trainer) -> int:
        """Restores network and optimizer from the newest checkpoint; gives its step.

        A damaged checkpoint is reported, and the one before it used. Without any, the step is 0.

        Raises:
            UserError: if all checkpoints are damaged, or the newest is of something else.
        """
        if not (paths := places.in_run(self.folder)):
            self._log(f"{self.folder}: no checkpoint, starting at step 0")
            return 0
        for path in reversed(paths):
            try:
                header, arrays = archive.read(path)
                break
            except UserError as error:
                self._log(f"{error}; taking the one before it")
        else:
            raise UserError(f"{self.folder}: none of its checkpoints can be read")
        if "step" not in header:
            raise UserError(f"{path}: not a checkpoint of a training run")
        if header.get("data") not in (self._data, self._data_of_old):
            raise UserError(
                f"{self.folder}: a run on other data: was {header.get('data')}, is {self._data}"
            )
        # The network's own weights, where `model/` has their averages: see `save`.
        own = {name for name in arrays if name.startswith("training/")}
        arrays |= {f"model/{name.removeprefix('training/')}": arrays.pop(name) for name in own}
        variables = archive.variables_by_path(trainer.model.variables, "model")
        variables |= archive.variables_by_path(trainer.optimizer.variables, "optimizer")
        archive.assign(variables, arrays, path)
        self._log(f"resuming at step {header['step']}")
        return header["step"]

    def begin(self, step: int, devices: str) -> None:
        """Writes how the run starts, and forgets what was written after `step`: it comes again."""
        with self.writing():
            start = {
                "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
                "step": step,
                "command": shlex.join(sys.argv),
                "versions": versions(),
                "devices": devices,
            }
            with atomic_file(self.folder / "config.json") as temporary:
                temporary.write_text(
                    json.dumps(self.config.to_json(), indent=2) + "\n", encoding="utf-8"
                )
            with open(self.folder / "starts.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(start) + "\n")
            for place in (".", "checkpoints", "validation"):
                for torn in (self.folder / place).glob(_TORN):  # of a process that was killed
                    torn.unlink()
            metrics = self.folder / "metrics.jsonl"
            text = metrics.read_text(encoding="utf-8", errors="replace") if metrics.exists() else ""
            kept = [line for line in text.splitlines() if _step_of(line) <= step]
            if len(kept) != step:
                self._log(f"{metrics}: has {len(kept)} of the {step} steps so far")
            with atomic_file(metrics) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
            if keras.backend.backend() == "tensorflow":
                from srn_tf.training.tensorboard import Board

                self._board = Board(self.folder, step)

    def save(self, trainer, step: int) -> None:
        """Saves a checkpoint and removes all but the last few.

        With moving averages, `model/` has them, as everyone wants who opens the checkpoint, and
        `training/` the network's own weights, to go on from.
        """
        state = archive.variables_by_path(trainer.optimizer.variables, "optimizer")
        if self.config.ema:
            own = archive.variables_by_path(trainer.model.variables, "training")
            state |= {name: variable.numpy() for name, variable in own.items()}
        path = places.path_of_step(self.folder, step)
        with averaged(trainer.model, trainer.optimizer), self.writing():
            # A checkpoint that outlives a power failure finds the metrics before it.
            with open(self.folder / "metrics.jsonl", "rb") as file:
                os.fsync(file.fileno())
            archive.save(path, self.config.model, trainer.model, self._header(step), state)
        for old in places.in_run(self.folder)[:-CHECKPOINTS_KEPT]:
            old.unlink()

    def save_best(self, model, step: int, scores: dict) -> bool:
        """Keeps the network if it scores better than the best so far; says whether.

        Args:
            model: the network.
            step: it has learnt for.
            scores: `psnr`, and what else is to be kept; with the same `data`, they compare.
        """
        path = self.folder / "best.npz"
        try:
            best = archive.read(path)[0]["validation"]
            if best["data"] == scores["data"] and best["psnr"] >= scores["psnr"]:
                return False
        except (OSError, ValueError, KeyError):
            pass  # none yet, or none that is of use
        with self.writing():
            header = self._header(step) | {"validation": scores}
            archive.save(path, self.config.model, model, header)
        return True

    def write_metrics(self, rows: list[dict]) -> None:
        """Adds rows to metrics.jsonl."""
        text = "".join(
            json.dumps({name: _or_null(value) for name, value in row.items()}) + "\n"
            for row in rows
        )
        with self.writing(), open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(text)

    def show_metrics(self, row: dict) -> None:
        """Shows a row of metrics in TensorBoard, where there is one."""
        if self._board:
            with self.writing():
                self._board.write(row)

    def show_pictures(self, step: int, name: str, pictures) -> None:
        """Shows pictures, [batch, height, width, channels] in [0, 1], in TensorBoard."""
        if self._board:
            with self.writing():
                self._board.show(step, name, pictures)

    def write_pictures(self, step: int, pictures: np.ndarray) -> None:
        """Writes the pictures of a validation, uint8 [height, width, 3], and shows them."""
        with self.writing():
            write_image(self.folder / "validation" / f"step_{step:08d}.png", pictures)
        self.show_pictures(step, "validation", pictures[np.newaxis] / 255)

    def _header(self, step: int) -> dict:
        return {
            "step": step,
            "training": self.config.to_json(),
            "data": self._data,
            "versions": versions(),
        }

    @property
    def longer(self) -> str:
        """How a run is made longer than it was to be, for the user."""
        return (
            "the learning rate follows the length, so to train longer start a new run from this "
            f"one: --init_from {self.folder} with another --run_dir, without --resume"
        )

    @property
    def last_checkpoint(self) -> str:
        paths = places.in_run(self.folder)
        return f"the last checkpoint is {paths[-1]}" if paths else "no checkpoint was written"

    @contextlib.contextmanager
    def writing(self):
        """Turns what the system says inside, such as that a disk is full, into one clear line."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be written ({error.strerror or error}); "
                f"{self.last_checkpoint}"
            ) from error


def _step_of(line: str) -> float:
    """The step of a line of metrics; a torn last line belongs to no step."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def _or_null(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value


def diverged(what: str, step: int, run: RunFolder | None) -> FloatingPointError:
    """The error that tells of a training that diverged, and which checkpoint is left."""
    saved = run.last_checkpoint if run else "the chief has the checkpoints"
    return FloatingPointError(
        f"training diverged: {what} at step {step}; {saved}. "
        "A lower --lr or --precision float32, in a new --run_dir, may help"
    )
