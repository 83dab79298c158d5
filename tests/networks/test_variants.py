"""Every model of the table: trains, restores, is saved; and what its variant is about."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL, eagerly, randomize

import srn_tf
from srn_tf.checkpoints import archive
from srn_tf.data.config import DataConfig
from srn_tf.networks.configs import MODELS
from srn_tf.networks.create import restore
from srn_tf.restoration.deblurrer import Deblurrer
from srn_tf.training.config import TrainingConfig
from srn_tf.training.optimizer import create_optimizer
from srn_tf.training.tensorflow_trainer import Trainer

SMALL_OF = {
    srn_tf.ModelConfig: {"kernel_size": 3, "widths": (4, 6), "blocks": 1},
    type(MODELS["mscnn"]): {"kernel_size": 3, "width": 4, "blocks": 1},
    type(MODELS["pss_nsc"]): {"widths": (4, 6, 8)},
}


def small(name: str):
    return srn_tf.create_model(name, **SMALL_OF[type(MODELS[name])])


def example(channels: int, seed: int = 0, size: int = 16):
    return np.random.default_rng(seed).random((2, 1, size, size, channels)).astype(np.float32)


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_each_model_trains_restores_and_is_saved(name, tmp_path, photo):
    model = small(name)
    config = TrainingConfig(name, model.config, DataConfig(packed="unused"), lr=1e-3)
    trainer = Trainer(model, create_optimizer(config, 100))
    size = max(16, model.config.size_multiple)
    blurred, sharp = example(model.config.input_channels, size=size)
    sharp = sharp[..., : model.config.channels]
    with eagerly():
        losses = [float(trainer.step(blurred, sharp)["loss"]) for _ in range(4)]
        _, gradients = trainer.loss_and_gradients(blurred, sharp)
    assert losses[-1] < losses[0]
    assert all(gradient is not None for gradient in gradients)

    archive.save(tmp_path / "model.npz", name, model)
    loaded = srn_tf.load_model(tmp_path / "model.npz")
    assert loaded.config == model.config
    for ours, theirs in zip(loaded.variables, model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)
    # What a network with candidates sees beside a picture, here the picture's pixels elsewhere.
    beside = model.config.input_channels // model.config.channels
    picture = np.concatenate([photo[i : 20 + i, :37] for i in range(beside)], axis=-1)
    restored = Deblurrer(loaded).deblur_batch(picture[np.newaxis])[0]
    planes = picture[np.newaxis] if model.config.channels == 3 else picture.transpose(2, 0, 1)
    planes = planes.reshape(-1, 20, 37, model.config.input_channels).astype(np.float32) / 255
    expected = np.asarray(restore(model, planes)).clip(0, 1) * 255
    expected = expected[0] if model.config.channels == 3 else expected[..., 0].transpose(1, 2, 0)
    np.testing.assert_allclose(restored, expected, atol=0.501)


def scales_that_change(model, variable) -> list[int]:
    """The scales whose step gives another result when a variable is changed."""
    scales = range(model.config.scales)
    blurred, estimate = example(model.config.channels)

    def outputs():
        return [model.step(scale, blurred, estimate, None)[0].numpy() for scale in scales]

    before = outputs()
    variable.assign_add(np.ones(variable.shape))
    after = outputs()
    return [scale for scale in scales if (before[scale] != after[scale]).any()]


one_for_all_cases = functools.cache(small)


def variable_of(model, path: str):
    (variable,) = [variable for variable in model.variables if variable.path.endswith(path)]
    return variable


@pytest.mark.parametrize(
    ("name", "path", "scales"),
    [
        ("color_lstm", "g_net/encoder/enc2_1/bias", [0, 1, 2]),
        ("color_lstm", "g_net/convLSTM/LSTM_conv/bias", [0, 1, 2]),
        ("wo_r", "g_net/decoder/dec1_0/bias", [0, 1, 2]),
        ("sc", "g_net_0/encoder/enc2_1/bias", [0]),
        ("sc", "g_net_1/cell/conv/bias", [1]),
        ("sc", "g_net_2/decoder/dec1_0/bias", [2]),
        ("mscnn", "body_0/first/bias", [0]),
        ("mscnn", "body_2/last/bias", [2]),
        ("pss_nsc", "pss_nsc/enc1_2/d1/conv2/bias", [0, 1, 2]),
        ("pss_nsc", "pss_nsc/dec3_2/d4/conv2/bias", [0, 1, 2]),
        ("pss_nsc", "pss_nsc/enc1_1_1/bias", [1]),
        ("pss_nsc", "pss_nsc/dec1_3_0/bias", [0]),
        ("pss_nsc", "pss_nsc/dec1_0_2/bias", [2]),
    ],
)
@pytest.mark.slow
def test_variables_are_shared_between_scales_where_they_should_be(name, path, scales):
    model = one_for_all_cases(name)
    randomize(model)
    assert scales_that_change(model, variable_of(model, path)) == scales


@pytest.mark.parametrize(("name", "flows"), [("sc", False), ("pss_nsc", False), ("mscnn", True)])
def test_gradients_flow_through_the_enlarged_estimate_in_mscnn_alone(name, flows):
    model = small(name)
    randomize(model, scale=0.3)
    estimate = tf.constant(example(model.config.channels)[0])
    with tf.GradientTape() as tape:
        tape.watch(estimate)
        enlarged, _ = model.enlarge(1, estimate, ())
        output, _ = model.step(1, enlarged, enlarged, ())
    gradient = tape.gradient(output, estimate)
    assert (gradient is not None and bool(tf.reduce_any(gradient != 0))) == flows


def test_without_gradients_between_scales_the_fine_loss_leaves_the_coarse_network_alone():
    model = small("sc")
    with tf.GradientTape() as tape:
        fine = tf.reduce_sum(model(example(3)[0])[-1])
    by_variable = dict(
        zip(
            (variable.path for variable in model.trainable_variables),
            tape.gradient(fine, model.trainable_variables),
            strict=True,
        )
    )
    assert by_variable["srn/g_net_0/encoder/enc1_1/kernel"] is None
    assert by_variable["srn/g_net_2/encoder/enc1_1/kernel"] is not None


def test_one_scale_sees_the_blurred_picture_twice():
    model = small("ss")
    randomize(model)
    blurred = example(3)[0]
    (output,) = model(blurred)
    expected, _ = model.step(0, blurred, blurred, None)
    np.testing.assert_array_equal(output, expected)


def test_flat_networks_have_no_stride_and_no_skip():
    model = small("sr_rb")
    randomize(model)
    encoder, decoder = model.networks[0].encoder, model.networks[0].decoder
    features = encoder(np.concatenate(example(3), axis=-1))
    assert {tuple(feature.shape[1:3]) for feature in features} == {(16, 16)}
    code = features[-1]
    nothing = [np.zeros_like(feature) for feature in features]
    np.testing.assert_array_equal(decoder(code, features), decoder(code, nothing))


def test_plain_blocks_have_a_relu_and_no_sum():
    config = dataclasses.replace(MODELS["sr_ed"], **SMALL)
    model = srn_tf.create_model("sr_ed", **SMALL)
    assert model.config == config
    block = model.networks[0].encoder.levels[0][1]
    randomize(model)
    x = example(4)[0]
    expected = np.maximum(block.conv2(block.conv1(x)), 0)
    np.testing.assert_allclose(block(x), expected, atol=1e-6)
    assert np.min(block.conv1(x)) == 0


def test_mscnn_takes_the_mean_off_and_adds_it_again():
    model = small("mscnn")
    randomize(model)
    blurred = example(3)[0]
    body = model.bodies[0]
    output, _ = model.step(0, blurred, blurred, None)
    np.testing.assert_allclose(output, body(blurred - 0.5) + 0.5, atol=1e-6)


def test_the_pixel_shuffle_is_pytorchs():
    model = srn_tf.create_model("mscnn", width=2, blocks=1, kernel_size=1)
    enlarger = model.enlargers[0]
    kernel = np.zeros(enlarger.conv.kernel.shape, np.float32)
    enlarger.conv.kernel.assign(kernel)
    enlarger.conv.bias.assign(np.arange(12))
    shuffled = np.array(enlarger(np.zeros((1, 1, 1, 3), np.float32)))
    for c in range(3):
        expected = [[4 * c, 4 * c + 1], [4 * c + 2, 4 * c + 3]]
        np.testing.assert_array_equal(shuffled[0, :, :, c], expected)
