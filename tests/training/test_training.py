"""Training: the authors' losses step for step, clipping, exact resume, refusals."""

import contextlib
import dataclasses
import functools
import itertools
import os
import re
import shutil
import signal
import threading
import time

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import LEAST, SMALL, configuration, eagerly, metrics, randomize, tiny
from reference import golden, variables_by_stored_name

import srn_tf
from srn_tf.checkpoints import archive, places
from srn_tf.data.photographs import SyntheticSource
from srn_tf.images.rgb import write_image
from srn_tf.networks.configs import model_config
from srn_tf.networks.create import create_model_from_config
from srn_tf.options import PRECISIONS
from srn_tf.training import loop
from srn_tf.training.loop import train
from srn_tf.training.losses import multi_scale_l2
from srn_tf.training.optimizer import Schedule, create_optimizer
from srn_tf.training.tensorflow_trainer import Trainer


@pytest.fixture
def photos(tmp_path, photo):
    for i in range(3):
        write_image(tmp_path / "photos" / f"{i}.png", photo[64 * i : 64 * i + 64, :96])
    return str(tmp_path / "photos")


def gradients_of_first_step(trainer) -> dict[str, np.ndarray]:
    """Those that the optimizer got, by the paths of their variables."""
    # After one step Adam's momentum is a tenth of the gradient.
    momenta = [v for v in trainer.optimizer.variables if v.path.endswith("_momentum")]
    paths = [variable.path for variable in trainer.model.trainable_variables]
    return {path: v.numpy() / 0.1 for path, v in zip(paths, momenta, strict=True)}


@pytest.mark.long
@pytest.mark.parametrize("name", ["lstm", "gray", "color"])
def test_eight_steps_give_the_authors_losses_rates_gradients_and_weights(name):
    model, reference = golden(name)
    config = dataclasses.replace(configuration(), network=model.config, lr=1e-4, decay="polynomial")
    trainer = Trainer(model, create_optimizer(config, max_steps=20))
    blurred, sharp = reference["train_blurred"], reference["train_sharp"]
    variables = variables_by_stored_name(model)
    names = list(reference["grad_names"])

    losses, rates = [], []
    for step in range(8):
        rates.append(trainer.learning_rate)
        losses.append(float(trainer.step(blurred, sharp)["loss"]))
        if step == 0:
            gradients = gradients_of_first_step(trainer)
            norms = [np.linalg.norm(gradients[variables[name].path]) for name in names]
            np.testing.assert_allclose(norms, reference["grad_l2"], rtol=1e-3)
    np.testing.assert_allclose(rates, reference["train_lr"], rtol=1e-6)
    np.testing.assert_allclose(losses, reference["train_loss"], rtol=1e-4)
    norms = [np.linalg.norm(variables[name]) for name in names]
    np.testing.assert_allclose(norms, reference["train_final_l2"], rtol=1e-4)


def test_the_loss_is_the_sum_of_the_mean_squared_errors_of_the_scales():
    sharp = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1) / 16
    outputs = [np.zeros((1, 2, 2, 1), np.float32), sharp + 0.5]
    expected = np.mean(sharp[:, ::2, ::2] ** 2) + 0.25
    assert float(multi_scale_l2(sharp, outputs)) == pytest.approx(expected)


@eagerly()
@pytest.mark.slow
def test_each_scale_counts_as_much_as_it_is_told_to():
    model = srn_tf.create_model("color_lstm", **SMALL)
    randomize(model)
    blurred, sharp = np.random.default_rng(0).random((2, 2, 32, 32, 3)).astype(np.float32)

    def losses_and_gradient(*weights):
        optimizer = create_optimizer(configuration(), 10)
        trainer = Trainer(model, optimizer, scale_weights=weights)
        losses, gradients = trainer.loss_and_gradients(blurred, sharp)
        return losses.numpy(), gradients[0].numpy(), trainer

    losses, together, _ = losses_and_gradient()
    parts = [losses_and_gradient(*row)[1] for row in 2 * np.eye(3)]
    rounding = 1e-6 * np.abs(together).max()
    np.testing.assert_allclose(sum(parts) / 2, together, atol=rounding)
    weights = (0.1, 0.3, 1.0)
    same_losses, weighted, trainer = losses_and_gradient(*weights)
    np.testing.assert_allclose(np.tensordot(weights, parts, 1) / 2, weighted, atol=rounding)
    np.testing.assert_allclose(same_losses, losses)
    loss = float(trainer.step(blurred, sharp)["loss"])
    assert loss == pytest.approx(np.dot(losses, weights), rel=1e-5)


def test_schedules_begin_and_end_where_they_should():
    exponential = Schedule("exponential", 1e-4, 1e-6, 1000)
    rates = [float(exponential(step)) for step in (0, 500, 1000)]
    np.testing.assert_allclose(rates, [1e-4, 1e-5, 1e-6], rtol=1e-5)
    polynomial = Schedule("polynomial", 1e-4, 1e-6, 1000)
    rates = [float(polynomial(step)) for step in (0, 500, 1000)]
    np.testing.assert_allclose(rates, [1e-4, 1e-4 * 0.5**0.3, 0], rtol=1e-5)
    cosine = Schedule("cosine", 1e-4, 1e-6, 1000)
    rates = [float(cosine(step)) for step in (0, 500, 1000)]
    np.testing.assert_allclose(rates, [1e-4, 5.05e-5, 1e-6], rtol=1e-5)
    warm = Schedule("cosine", 1e-4, 1e-6, 1100, warmup=100)
    rates = [float(warm(step)) for step in (0, 50, 100, 600, 1100, 2000)]
    np.testing.assert_allclose(rates, [0, 5e-5, 1e-4, 5.05e-5, 1e-6, 1e-6], rtol=1e-5, atol=1e-12)
    warm.length.assign(2100)
    assert float(warm(1100)) == pytest.approx(5.05e-5, rel=1e-5)


def test_the_optimizer_is_the_papers_adam():
    adam = create_optimizer(configuration(), 10)
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.999, 1e-8)


@functools.cache
def first_gradients(precision: str, **clipping) -> dict[str, np.ndarray]:
    """Those that the optimizer of a Trainer gets in its first step."""
    blurred, sharp = np.random.default_rng(0).random((2, 2, 32, 32, 3)).astype(np.float32)
    model = srn_tf.create_model("color_lstm", **SMALL)
    randomize(model, scale=0.15)
    trainer = Trainer(model, create_optimizer(configuration(precision=precision), 10), **clipping)
    trainer.step(blurred, sharp)
    return gradients_of_first_step(trainer)


@eagerly()
@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.slow
def test_clipping_all_gradients_keeps_their_direction(precision):
    free, clipped = first_gradients(precision), first_gradients(precision, clip_all=1e-4)
    norm = float(tf.linalg.global_norm(list(free.values())))
    assert norm > 1e-3
    for path, gradient in free.items():
        expected = gradient * (1e-4 / norm)
        np.testing.assert_allclose(clipped[path], expected, rtol=1e-3, atol=1e-9, err_msg=path)
    unbounded = first_gradients(precision, clip_all=2 * norm)
    for path, gradient in free.items():
        np.testing.assert_allclose(unbounded[path], gradient, rtol=1e-6, err_msg=path)


@eagerly()
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_clipping_bounds_the_recurrent_gradients_and_no_others(precision):
    free, clipped = first_gradients(precision), first_gradients(precision, clip_norm=1e-4)
    recurrent = [path for path in free if "convLSTM" in path]
    assert len(recurrent) == 2
    assert float(tf.linalg.global_norm([free[path] for path in recurrent])) > 1e-3
    norm = float(tf.linalg.global_norm([clipped[path] for path in recurrent]))
    assert norm == pytest.approx(1e-4, rel=1e-4)
    for path in free.keys() - set(recurrent):
        np.testing.assert_array_equal(free[path], clipped[path])


@pytest.mark.slow
def test_a_resumed_run_has_the_losses_and_weights_of_an_uninterrupted_one(tmp_path, photos):
    config = configuration(sharp_path=photos)
    options = {"log_every": 1, "save_every": 2, "log": lambda _: None}
    train(config, tmp_path / "whole", **options)
    # As if it had been ended after step 5: the last checkpoint is that of step 4.
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    places.path_of_step(tmp_path / "broken", 6).unlink()
    with open(tmp_path / "broken" / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "lo')
    train(config, tmp_path / "broken", resume=True, **options)

    def numbers(run):
        return [(row["step"], row["loss"], row["lr"]) for row in metrics(tmp_path / run)]

    assert [step for step, _, _ in numbers("whole")] == [1, 2, 3, 4, 5, 6]
    assert numbers("broken") == numbers("whole")
    _, whole = archive.read(places.path_of_step(tmp_path / "whole", 6))
    _, broken = archive.read(places.path_of_step(tmp_path / "broken", 6))
    assert whole.keys() == broken.keys()
    assert any(name.startswith("optimizer/") for name in whole)
    for name, array in whole.items():
        np.testing.assert_array_equal(array, broken[name], err_msg=name)


@pytest.mark.long
def test_training_lowers_the_loss(tmp_path, photos):
    config = configuration(
        sharp_path=photos,
        max_steps=60,
        lr=5e-3,
    )
    train(config, tmp_path / "run", log_every=1, log=lambda _: None)
    losses = [row["loss"] for row in metrics(tmp_path / "run")]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


@eagerly()
@pytest.mark.slow
def test_only_the_last_checkpoints_are_kept(tmp_path, photos):
    train(tiny(sharp_path=photos), tmp_path / "run", save_every=1, log=lambda _: None)
    kept = [path.name for path in places.in_run(tmp_path / "run")]
    assert kept == ["step_00000004.npz", "step_00000005.npz", "step_00000006.npz"]


@eagerly()
def test_a_used_folder_is_refused_without_resume(tmp_path, photos):
    config = tiny(sharp_path=photos, max_steps=1)
    train(config, tmp_path / "run", log=lambda _: None)
    with pytest.raises(ValueError, match="holds a run already; add --resume"):
        train(config, tmp_path / "run")


@eagerly()
@pytest.mark.slow
def test_a_run_of_another_configuration_is_refused_by_field(tmp_path, photos):
    config = configuration(sharp_path=photos, max_steps=1)
    train(config, tmp_path / "run", log=lambda _: None)
    other = dataclasses.replace(config, batch_size=1)
    with pytest.raises(ValueError, match="another configuration: batch_size is 1, was 2"):
        train(other, tmp_path / "run", resume=True)
    network = dataclasses.replace(config, network=model_config("color", **LEAST))
    with pytest.raises(ValueError, match="recurrence is 'none', was 'lstm'"):
        train(network, tmp_path / "run", resume=True)
    longer = dataclasses.replace(config, max_steps=2)
    with pytest.raises(
        ValueError, match=r"max_steps is 2, was 1; .* --init_from .*run with another"
    ):
        train(longer, tmp_path / "run", resume=True)
    said = []
    train(config, tmp_path / "run", resume=True, log=said.append)
    assert re.search("run: is finished; .* --init_from", said[-1])


@eagerly()
def test_resuming_a_missing_folder_starts_at_step_0_and_says_so(tmp_path, photos):
    said = []
    config = tiny(sharp_path=photos, max_steps=1)
    train(config, tmp_path / "new", resume=True, log=said.append)
    assert said[0] == f"{tmp_path / 'new'}: no checkpoint, starting at step 0"


@eagerly()
@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_checkpoint(
    tmp_path, photos, monkeypatch
):
    class Diverging(Trainer):
        def loss_and_gradients(self, blurred, sharp):
            losses, gradients = super().loss_and_gradients(blurred, sharp)
            at_step_4 = tf.cast(self.optimizer.iterations, tf.int32) == 3
            return tf.where(at_step_4, np.nan, losses), gradients

    monkeypatch.setattr("srn_tf.training.tensorflow_trainer.Trainer", Diverging)
    with pytest.raises(
        FloatingPointError,
        match=r"the loss is nan at step 4; the last checkpoint is .*step_00000002",
    ):
        train(tiny(sharp_path=photos), tmp_path / "run", save_every=2)
    assert [path.name for path in places.in_run(tmp_path / "run")] == ["step_00000002.npz"]


@eagerly()
@pytest.mark.slow
def test_ctrl_c_saves_and_leaves(tmp_path, photos):
    run_dir = tmp_path / "run"

    def interrupt():
        while not (run_dir / "metrics.jsonl").exists() or not metrics(run_dir):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    config = tiny(sharp_path=photos, max_steps=100_000)
    ended_by = train(config, run_dir, log_every=1, log=lambda _: None)
    thread.join()
    assert ended_by == signal.SIGINT
    last = metrics(run_dir)[-1]["step"]
    assert 1 <= last < 100_000
    assert places.in_run(run_dir)[-1] == places.path_of_step(run_dir, last)


@eagerly()
def test_the_time_bound_saves_and_stops(tmp_path, photos, monkeypatch):
    # A clock on which a step takes 25 seconds: a minute is over in the fourth.
    ticks = itertools.count(25, step=25)
    now = [0]

    @contextlib.contextmanager
    def progress(*_, **__):
        yield lambda text: now.append(next(ticks))

    monkeypatch.setattr(loop, "progress", progress)
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[-1])
    config = tiny(sharp_path=photos, max_steps=20)
    assert train(config, tmp_path / "run", max_minutes=1, log=lambda _: None) == 0
    (saved,) = places.in_run(tmp_path / "run")
    assert saved == places.path_of_step(tmp_path / "run", 4)


@eagerly()
def test_a_step_that_ruins_the_network_is_not_saved(tmp_path, photos):
    config = tiny(sharp_path=photos, lr=1e30, end_lr=1e30)
    with pytest.raises(FloatingPointError, match="output is not finite at step 1; no checkpoint"):
        train(config, tmp_path / "run", save_every=1, log=lambda _: None)
    assert places.in_run(tmp_path / "run") == []


@eagerly()
@pytest.mark.slow
def test_a_picture_that_fails_loses_no_step(tmp_path, photos, monkeypatch):
    original = SyntheticSource.example

    def example(self, index, rng):
        if next(count) == 40:
            raise ValueError("photo.png: broken")
        return original(self, index, rng)

    count = itertools.count()
    monkeypatch.setattr(SyntheticSource, "example", example)
    config = tiny(sharp_path=photos, max_steps=1000)
    with pytest.raises(ValueError, match=r"^photo\.png: broken$"):
        train(config, tmp_path / "run", log_every=1, log=lambda _: None)
    (saved,) = places.in_run(tmp_path / "run")
    assert saved == places.path_of_step(tmp_path / "run", metrics(tmp_path / "run")[-1]["step"])


@eagerly()
@pytest.mark.slow
def test_a_run_on_other_data_is_refused(tmp_path, photos, photo):
    config = tiny(sharp_path=photos, max_steps=1)
    train(config, tmp_path / "run", log=lambda _: None)
    write_image(f"{photos}/new.png", photo[:64, :64])
    with pytest.raises(ValueError, match=r"other data: was .*3.*, is .*4"):
        train(config, tmp_path / "run", resume=True)


@eagerly()
@pytest.mark.slow
def test_a_folder_with_checkpoints_alone_counts_as_used(tmp_path, photos):
    config = tiny(sharp_path=photos, max_steps=1)
    train(config, tmp_path / "run", log=lambda _: None)
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(ValueError, match="holds a run already"):
        train(config, tmp_path / "run")
    with pytest.raises(ValueError, match=r"config\.json: not the configuration of a run"):
        train(config, tmp_path / "run", resume=True)


@pytest.mark.long
def test_parts_of_a_batch_have_the_numbers_of_the_whole(tmp_path, photos):
    config = configuration(sharp_path=photos, batch_size=4, clip_norm=1e-2, clip_all=2e-2, ema=0.9)
    train(config, tmp_path / "whole", log=lambda _: None)
    parts = dataclasses.replace(config, accumulate=4)
    train(parts, tmp_path / "parts", log=lambda _: None)
    names = ("loss", "gradient_norm", "lr")
    whole, parts = (
        [[row[name] for name in names] for row in metrics(tmp_path / run)]
        for run in ("whole", "parts")
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


@pytest.mark.long
def test_xla_has_the_numbers_without_it(tmp_path, photos):
    network = model_config("ss", kernel_size=3, widths=(4, 6), blocks=1)  # little to compile
    config = configuration(sharp_path=photos, max_steps=3, model="ss", network=network)
    train(config, tmp_path / "plain", log=lambda _: None)
    train(config, tmp_path / "xla", xla=True, log=lambda _: None)
    losses = [[row["loss"] for row in metrics(tmp_path / run)] for run in ("plain", "xla")]
    np.testing.assert_allclose(*losses, rtol=1e-4)


@eagerly()
@pytest.mark.slow
def test_moving_averages_are_what_others_load_and_the_weights_go_on(tmp_path, photos):
    config = configuration(sharp_path=photos, max_steps=3, ema=0.5)
    train(config, tmp_path / "run", save_every=1, log=lambda _: None)
    read = [archive.read(places.path_of_step(tmp_path / "run", step))[1] for step in (1, 2, 3)]
    name = "srn/g_net/encoder/enc1_1/kernel"
    weights = [arrays[f"training/{name}"] for arrays in read]
    averages = [arrays[f"model/{name}"] for arrays in read]
    np.testing.assert_array_equal(averages[0], weights[0])  # begun with the first weights
    np.testing.assert_allclose(averages[1], 0.5 * averages[0] + 0.5 * weights[1], rtol=1e-5)
    np.testing.assert_allclose(averages[2], 0.5 * averages[1] + 0.5 * weights[2], rtol=1e-5)
    loaded = srn_tf.load_model(tmp_path / "run")
    np.testing.assert_array_equal(loaded.variables[0], averages[2])


@pytest.fixture(scope="module")
def final_losses() -> dict[str, float]:
    """The loss after 300 steps on the same two batches, for each precision."""
    noise = np.random.default_rng(0).random((2, 2, 16, 16, 3))
    sharp = np.stack([cv2.GaussianBlur(picture, None, 2) for picture in np.concatenate(noise)])
    sharp = ((sharp - sharp.min()) / np.ptp(sharp)).astype(np.float32).reshape(noise.shape)
    blurred = np.stack([cv2.blur(picture, (1, 7)) for picture in np.concatenate(sharp)])
    blurred = blurred.reshape(noise.shape)
    losses = {}
    for precision, policy in PRECISIONS.items():
        keras.utils.set_random_seed(0)
        config = configuration(precision=precision, lr=2e-3)
        model = create_model_from_config(config.network, dtype=policy)
        trainer = Trainer(model, create_optimizer(config, max_steps=300))
        for step in range(300):
            trainer.step(blurred[step % 2], sharp[step % 2])
        losses[precision] = np.mean(
            [float(trainer.step(*batch)["loss"]) for batch in zip(blurred, sharp, strict=True)]
        )
        state = [*model.variables, *trainer.optimizer.variables]
        assert {v.dtype for v in state if "int" not in v.dtype} == {"float32"}
    return losses


@pytest.mark.long
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_the_loss_after_300_steps_is_that_of_float32_within_2_percent(final_losses, precision):
    assert final_losses["float32"] < 0.05
    assert final_losses[precision] == pytest.approx(final_losses["float32"], rel=0.02)


@pytest.mark.long
def test_float16_scales_the_loss_and_trains(tmp_path, photos):
    config = configuration(sharp_path=photos, precision="float16", max_steps=3)
    assert isinstance(create_optimizer(config, 3), keras.optimizers.LossScaleOptimizer)
    train(config, tmp_path / "run", log_every=1, log=lambda _: None)
    train_32 = dataclasses.replace(config, precision="float32")
    train(train_32, tmp_path / "run32", log_every=1, log=lambda _: None)
    losses = [[row["loss"] for row in metrics(tmp_path / run)] for run in ("run", "run32")]
    np.testing.assert_allclose(*losses, rtol=0.02)
