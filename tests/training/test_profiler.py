"""--profile: which steps are looked at, and what is left in a run folder (on JAX, see there)."""

import numpy as np
import pytest
from helpers import metrics, tiny

from srn_tf import UserError
from srn_tf.cli import train as command
from srn_tf.images.rgb import write_image
from srn_tf.training.loop import train
from srn_tf.training.profiler import Profiler


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    write_image(folder / "a.png", pixels)
    return str(folder)


def profiles(run) -> list:
    return list(run.glob("plugins/profile/*/*.xplane.pb"))


class Steps:
    """A trainer that writes down what happens."""

    def __init__(self):
        self.seen = []

    def step(self, *batch):
        self.seen.append("step")
        return {"loss": np.float32(1)}

    def start_profile(self, folder):
        self.seen.append("start")

    def stop_profile(self):
        self.seen.append("stop")


@pytest.mark.parametrize(
    ("steps", "seen"),
    [
        ((1, 1), "start step stop step step"),
        ((2, 3), "step start step step stop"),
        ((3, 9), "step step start step stop"),  # the run ends before
        (None, "step step step"),
    ],
)
def test_the_steps_that_are_asked_for_are_looked_at(steps, seen):
    trainer = Steps()
    with Profiler(trainer, "run", steps, 0, 3) as profiler:
        for number in (1, 2, 3):
            profiler.step(number, ())
    assert trainer.seen == seen.split()


def test_steps_that_are_not_ahead_are_refused():
    for steps, done in (((4, 5), 0), ((2, 3), 2)):
        with pytest.raises(UserError, match=rf"profile {steps[0]}:.*the run has the steps"):
            Profiler(Steps(), "run", steps, done, 3)


@pytest.mark.parametrize("text", ["3", "0:4", "5:4", "1:2:3", "a:b", "-1:4"])
def test_other_words_are_refused(text, tmp_path, capsys):
    words = ["--sharp_path=x", f"--run_dir={tmp_path / 'run'}", f"--profile={text}"]
    assert command.main(words) == 1
    assert f"--profile {text}: must be two steps, as 100:110" in capsys.readouterr().err


@pytest.mark.long
def test_the_profile_lies_in_the_run_and_changes_no_number(tmp_path, photos):
    losses = []
    for name, profile in (("plain", None), ("profiled", (2, 3))):
        train(tiny(sharp_path=photos, max_steps=4), tmp_path / name, profile=profile)
        losses.append([row["loss"] for row in metrics(tmp_path / name)])
        assert len(profiles(tmp_path / name)) == (1 if profile else 0)
    assert losses[0] == losses[1]
