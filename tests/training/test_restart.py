"""A run that is killed, stopped, or left without disk goes on as if nothing had been."""

import os
import pathlib
import signal
import time

import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from helpers import TINY, Forked, metrics, srn_train

from srn_tf.checkpoints import archive, places
from srn_tf.images.rgb import write_image

pytestmark = pytest.mark.long


class Shell:
    """Runs srn-train in processes of its own, one at a time; `printed` is what the last printed."""

    def start(self, words, network=TINY, **options) -> int:
        """Starts the command; gives the number of its process."""
        self._command = Forked(srn_train(words, {"ss": network}), **options)
        return self._command.process.pid

    def wait(self) -> int:
        """Waits for the command's end; gives its exit status."""
        status = self._command.wait()
        self.printed = self._command.printed.splitlines()
        return status

    def run(self, words, **options) -> int:
        self.start(words, **options)
        return self.wait()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    photo = skimage.data.astronaut()
    for i in range(3):
        write_image(folder / f"{i}.png", photo[64 * i : 64 * i + 64, :96])
    return folder


@pytest.fixture
def shell():
    return Shell()


def words(photos, run_dir, **flags) -> list[str]:
    flags = {
        "model": "ss",
        "sharp_path": photos,
        "max_blur": 4,
        "crop_size": 16,
        "batch_size": 2,
        "lr": 1e-3,
        "run_dir": run_dir,
        **flags,
    }
    return [f"--{name}={value}" for name, value in flags.items()]


def numbers(run_dir) -> list[tuple]:
    names = ("step", "loss", "loss_per_scale", "gradient_norm", "lr")
    return [tuple(row[name] for name in names) for row in metrics(run_dir)]


def weights(run_dir) -> dict:
    """The bytes of all that the newest checkpoint holds."""
    _, arrays = archive.read(places.find(run_dir))
    return {name: array.tobytes() for name, array in arrays.items()}


def names(run_dir) -> set[str]:
    files = (path for path in pathlib.Path(run_dir).rglob("*") if path.is_file())
    return {path.name.split(".out.")[0] for path in files}


def wait_for(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def steps_on_board(run_dir) -> list[int]:
    """The steps of the loss in TensorBoard's files, in their order."""
    return [
        event.step
        for path in sorted(pathlib.Path(run_dir).glob("events.*"))
        for record in tf.data.TFRecordDataset(str(path))
        for event in [tf.compat.v1.Event.FromString(record.numpy())]
        for value in event.summary.value
        if value.tag == "loss"
    ]


@pytest.mark.parametrize(("precision", "kills"), [("float32", 4), ("bfloat16", 1)])
def test_a_killed_run_has_the_numbers_of_one_that_was_not(
    shell, tmp_path, photos, precision, kills
):
    flags = {"precision": precision, "save_every": 3, "log_every": 1, "ema": 0.9}
    flags["max_steps"] = steps = 80
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert shell.run(words(photos, whole, **flags)) == 0
    print("seed", seed := np.random.SeedSequence().entropy)  # shown if it fails
    rng = np.random.default_rng(seed)
    for _ in range(kills):
        reached = len(metrics(killed))
        process = shell.start([*words(photos, killed, **flags), "--resume"])
        goal = reached + rng.integers(1, 4)
        wait_for(lambda goal=goal: len(metrics(killed)) >= goal)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(process, signal.SIGKILL)
        assert shell.wait() == -signal.SIGKILL
    assert shell.run([*words(photos, killed, **flags), "--resume"]) == 0
    assert [row["step"] for row in metrics(killed)] == list(range(1, steps + 1))
    assert numbers(killed) == numbers(whole)
    assert weights(killed) == weights(whole)
    assert steps_on_board(killed) == list(range(1, steps + 1))
    # Nothing torn is left.
    assert names(killed) - {"events"} == names(whole) - {"events"}


def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_it_used(
    shell, tmp_path, photos
):
    flags = {"max_steps": 6, "save_every": 2}
    assert shell.run(words(photos, tmp_path, **flags)) == 0
    expected = numbers(tmp_path), weights(tmp_path)
    newest = places.path_of_step(tmp_path, 6)
    content = newest.read_bytes()
    half = len(content) // 2
    for damaged in (content[:half], content[:half] + b"changed" + content[half + 7 :]):
        newest.write_bytes(damaged)
        assert shell.run([*words(photos, tmp_path, **flags), "--resume"]) == 0
        assert shell.printed[0].startswith(f"{newest}: ")
        assert shell.printed[0].endswith("; taking the one before it")
        assert shell.printed[1] == "resuming at step 4"
        assert (numbers(tmp_path), weights(tmp_path)) == expected


def test_with_all_checkpoints_damaged_nothing_is_begun_anew(shell, tmp_path, photos):
    assert shell.run(words(photos, tmp_path, max_steps=1)) == 0
    places.path_of_step(tmp_path, 1).write_bytes(b"")
    assert shell.run([*words(photos, tmp_path, max_steps=1), "--resume"]) == 1
    assert shell.printed[-1].endswith("none of its checkpoints can be read")


def test_a_full_disk_ends_the_run_with_one_line_and_the_last_checkpoint_whole(
    shell, tmp_path, photos
):
    # A network whose checkpoints are the largest files of the run.
    flags = {"max_steps": 4, "save_every": 2, "kernel_size": 1, "blocks": 1}
    assert shell.run(words(photos, tmp_path, **flags), network={}) == 0
    places.path_of_step(tmp_path, 4).unlink()
    last = places.path_of_step(tmp_path, 2)
    content = last.read_bytes()
    # A system without room answers as one that allows no larger file.
    resumed = [*words(photos, tmp_path, **flags), "--resume"]
    assert shell.run(resumed, network={}, largest_file=len(content) // 2) == 1
    slow = [line for line in shell.printed[2:] if line.startswith("step ")]  # of half a minute
    assert shell.printed[2 + len(slow) :] == [
        f"srn-train: {tmp_path}: cannot be written (File too large); the last checkpoint is {last}"
    ]
    assert last.read_bytes() == content
    assert [path.name for path in last.parent.iterdir()] == [last.name]


def test_sigterm_saves_and_leaves_with_143(shell, tmp_path, photos):
    process = shell.start(words(photos, tmp_path, max_steps=100_000))
    wait_for(lambda: metrics(tmp_path))
    os.kill(process, signal.SIGTERM)
    assert shell.wait() == 143
    last = metrics(tmp_path)[-1]["step"]
    assert places.in_run(tmp_path) == [places.path_of_step(tmp_path, last)]
    assert shell.printed[-1].startswith(f"step {last} of 100000")
