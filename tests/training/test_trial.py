"""--minutes: the length of a run is measured, and then it is a run like others."""

import contextlib
import dataclasses
import json
import time
import types

import keras
import numpy as np
import pytest
import skimage.data
from helpers import configuration, metrics

from srn_tf.images.rgb import write_image
from srn_tf.training.loop import train
from srn_tf.training.trial import Trial


class Sleeper:
    """A trainer whose steps take a hundredth of a second, the first two of them ten times that."""

    def __init__(self):
        weights = keras.Variable(np.zeros(3)), keras.Variable(np.ones(2))
        self.model, self.optimizer = (types.SimpleNamespace(variables=[w]) for w in weights)
        self.steps, self.restarted = 0, 0

    def batches(self, config, source, first, last, share, feed):
        return contextlib.nullcontext((i,) for i in range(first, last))

    def step(self, i):
        self.steps += 1
        for part in (self.model, self.optimizer):
            part.variables[0].assign_add(np.ones(part.variables[0].shape))
        time.sleep(0.1 if self.steps <= 2 else 0.01)
        return {"loss": 1.0}

    def restart(self):
        self.restarted = self.steps


def test_the_length_fills_the_time_and_the_trial_leaves_no_trace():
    trainer = Sleeper()
    begun = time.monotonic()
    length = Trial(trainer, None, 1000, begun + 20).length(None, None, (0, 1), None)
    left = 20 - (time.monotonic() - begun)
    assert 0.7 * left / 0.012 < length < left / 0.01
    assert trainer.restarted == trainer.steps > 20
    np.testing.assert_array_equal(trainer.model.variables[0], 0)
    np.testing.assert_array_equal(trainer.optimizer.variables[0], 1)


@pytest.mark.slow
def test_validations_are_counted():
    seconds = types.SimpleNamespace(run=lambda: time.sleep(0.2))
    deadline = time.monotonic() + 20
    length = Trial(Sleeper(), seconds, 10, deadline).length(None, None, (0, 1), None)
    assert length < 20 / (0.01 + 0.2 / 10)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_image(folder / "0.png", skimage.data.astronaut()[:64, :64])
    config = configuration(sharp_path=str(folder), decay="cosine")
    return dataclasses.replace(config, max_steps=0, epochs=2000)


@pytest.mark.long
def test_a_run_of_so_many_minutes_ends_with_its_learning_rate(config, tmp_path):
    assert train(config, tmp_path / "run", minutes=0.1, log_every=1) == 0
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    rows = metrics(tmp_path / "run")
    assert stored["max_steps"] == rows[-1]["step"] == len(rows)
    # Half a wave, from step 0 to the length.
    waves = [0.5 * (1 + np.cos(np.pi * step / len(rows))) for step in (0, len(rows) - 1)]
    expected = [config.end_lr + (config.lr - config.end_lr) * wave for wave in waves]
    np.testing.assert_allclose([rows[0]["lr"], rows[-1]["lr"]], expected, rtol=1e-4)
    # The trial left no trace: the same run without it has the same numbers.
    first = dataclasses.replace(config, max_steps=len(rows))
    train(first, tmp_path / "again", max_minutes=1e-9, log_every=1)
    assert metrics(tmp_path / "again")[0]["loss"] == rows[0]["loss"]
    # What is resumed keeps its length.
    assert train(config, tmp_path / "run", minutes=5.0, resume=True) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == stored
