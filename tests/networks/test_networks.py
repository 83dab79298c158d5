"""The networks: the authors' numbers, the resize rule, the cell's equations, what is shared."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL, randomize, run_python
from reference import golden

import srn_tf
from srn_tf.networks.configs import model_config
from srn_tf.networks.create import restore
from srn_tf.networks.layers import ChannelNorm, ConvLSTMCell, ConvRNNCell, DoublingConv, SumCell
from srn_tf.networks.patches import Patches
from srn_tf.networks.pyramid import pad_to_multiple, pyramid, upsample


@pytest.mark.parametrize("name", ["lstm", "gray", "color", "mscnn", "pss_nsc"])
@pytest.mark.slow
def test_forward_pass_gives_the_authors_numbers(name):
    model, reference = golden(name)
    for scale, output in enumerate(model(reference["x"])):
        expected = reference[f"y{scale}"]
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_doubling_keeps_samples_and_puts_means_between_them():
    column = np.array([0.0, 2.0, 6.0], np.float32).reshape(1, 3, 1, 1)
    np.testing.assert_array_equal(np.ravel(upsample(column)[:, :, 0]), [0, 1, 2, 4, 6, 6])
    image = np.random.default_rng(0).random((2, 4, 6, 3)).astype(np.float32)
    expected = tf.compat.v1.image.resize_bilinear(image, (8, 12))  # the authors' operation
    np.testing.assert_allclose(upsample(image), expected, atol=1e-6)


def test_pyramid_takes_every_second_sample_and_is_ordered_coarse_to_fine():
    image = np.random.default_rng(0).random((1, 16, 32, 1)).astype(np.float32)
    coarse, middle, fine = pyramid(image, 3)
    np.testing.assert_array_equal(coarse, image[:, ::4, ::4])
    np.testing.assert_array_equal(middle, image[:, ::2, ::2])
    np.testing.assert_array_equal(fine, image)
    authors = tf.compat.v1.image.resize_bilinear(image, (4, 8))
    np.testing.assert_allclose(coarse, authors, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 32), (17, 31)])
def test_padding_repeats_the_edge_and_is_undone(height, width):
    image = np.random.default_rng(0).random((2, height, width, 3)).astype(np.float32)
    padded, crop = pad_to_multiple(image, 16)
    extra = [(0, 0), (0, -height % 16), (0, -width % 16), (0, 0)]
    np.testing.assert_array_equal(padded, np.pad(image, extra, mode="edge"))
    np.testing.assert_array_equal(crop(padded), image)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_conv_lstm_gates():
    rng = np.random.default_rng(0)
    cell = ConvLSTMCell(2)
    x, hidden, memory = (rng.normal(size=(1, 1, 1, 2)).astype(np.float32) for _ in range(3))
    cell(x)
    kernel = rng.normal(size=cell.conv.kernel.shape).astype(np.float32)
    bias = rng.normal(size=8).astype(np.float32)
    cell.conv.kernel.assign(kernel)
    cell.conv.bias.assign(bias)
    # On a 1x1 picture only the middle of the 3x3 kernel touches anything.
    gates = np.concatenate([x, hidden], axis=-1).ravel() @ kernel[1, 1] + bias
    i, j, f, o = np.split(gates, 4)
    new_memory = memory.ravel() * sigmoid(f + 1) + sigmoid(i) * np.tanh(j)
    new_hidden = np.tanh(new_memory) * sigmoid(o)
    output, state = cell(x, (hidden, memory))
    np.testing.assert_allclose(np.ravel(output), new_hidden, atol=1e-6)
    np.testing.assert_allclose(np.ravel(state[0]), new_hidden, atol=1e-6)
    np.testing.assert_allclose(np.ravel(state[1]), new_memory, atol=1e-6)


def test_conv_rnn_equation():
    rng = np.random.default_rng(0)
    cell = ConvRNNCell(2)
    x, hidden = (rng.normal(size=(1, 1, 1, 2)).astype(np.float32) for _ in range(2))
    cell(x)
    randomize(cell, scale=1.0)
    w, v = cell.hidden_conv, cell.output_conv
    joined = np.concatenate([x, hidden], axis=-1).ravel()
    new_hidden = np.tanh(joined @ w.kernel.numpy()[1, 1] + w.bias.numpy())
    output, (state,) = cell(x, (hidden,))
    np.testing.assert_allclose(np.ravel(state), new_hidden, atol=1e-6)
    expected = new_hidden @ v.kernel.numpy()[1, 1] + v.bias.numpy()
    np.testing.assert_allclose(np.ravel(output), expected, atol=1e-6)


def test_sum_cell_equation():
    rng = np.random.default_rng(0)
    cell = SumCell(2)
    x, hidden = (rng.normal(size=(1, 1, 1, 2)).astype(np.float32) for _ in range(2))
    cell(x)
    randomize(cell, scale=1.0)
    kernel, bias = cell.conv.kernel.numpy()[1, 1], cell.conv.bias.numpy()
    for state, seen in ((None, x), ((hidden,), x + hidden)):
        output, (new,) = cell(x, state)
        np.testing.assert_allclose(np.ravel(output), np.maximum(seen.ravel() @ kernel + bias, 0))
        np.testing.assert_array_equal(new, output)


def test_channel_norm_divides_each_pixel_by_its_root_mean_square():
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32)
    norm = ChannelNorm()
    norm.build(x.shape)
    norm.scale.assign([1, 2, 3, 4])
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True)) * [1, 2, 3, 4]
    np.testing.assert_allclose(norm(x), expected, rtol=1e-4)


def test_patches_are_squares_and_come_back():
    patches = Patches(model_config("fast", whitened=False))
    x = np.arange(2 * 8 * 12 * 3, dtype=np.float32).reshape(2, 8, 12, 3)
    squares = patches.split(x)
    assert squares.shape == patches.shape(x.shape)
    np.testing.assert_array_equal(squares, tf.nn.space_to_depth(x, 4))
    np.testing.assert_array_equal(squares[1, 1, 2], x[1, 4:8, 8:12].ravel())
    np.testing.assert_array_equal(patches.join(squares), x)


@pytest.mark.parametrize(("side", "channels"), [(4, 3), (4, 1), (2, 3)])
def test_whitened_squares_are_waves_of_their_own_size(side, channels):
    patches = Patches(model_config("fast", patch=side, channels=channels))
    count = channels * side**2
    split = np.asarray(patches.split(np.eye(count).reshape(count, side, side, channels) + 0.5))
    joined = np.asarray(patches.join(np.eye(count).reshape(count, 1, 1, count)))
    # What is seen of each pixel, and what each number adds to the pixels: the same waves, of length
    # one and at right angles, but for two factors a wave.
    forth, back = split.reshape(count, count).T, joined.reshape(count, count)
    waves = forth / np.linalg.norm(forth, axis=1, keepdims=True)
    np.testing.assert_allclose(waves @ waves.T, np.eye(count), atol=1e-5)
    lengths = np.linalg.norm(back, axis=1, keepdims=True)
    np.testing.assert_allclose(back / lengths, waves, atol=1e-5)
    np.testing.assert_allclose(waves[0], np.full(count, count**-0.5), atol=1e-5)  # the mean


def test_whitened_squares_have_the_factors_that_weights_were_trained_with():
    patches = Patches(model_config("fast"))
    split = patches.split(np.eye(48, dtype=np.float32).reshape(48, 4, 4, 3) + 0.5)
    joined = patches.join(np.eye(48, dtype=np.float32).reshape(48, 1, 1, 48))
    seen = np.linalg.norm(np.reshape(split, (48, 48)), axis=0)
    given = np.linalg.norm(np.reshape(joined, (48, 48)), axis=1)
    # The mean, the lowest wave of brightness, and the highest of green less red and blue.
    mean, low = 0.245 * 4 * 3**0.5, 0.006 * 8**1.6
    high = 0.1 * 0.006 * 0.75**-1.6
    expected = 1 / np.hypot([mean, low, high], 0.01)
    np.testing.assert_allclose(seen[[0, 3, 47]], expected, rtol=1e-5)
    np.testing.assert_allclose(expected, [0.58912, 5.9721, 99.551], rtol=1e-4)
    np.testing.assert_allclose(given[[0, 3, 47]], [0.207846, 0.139324, 0.00188551], rtol=1e-4)


def test_whitened_squares_of_a_photograph_vary_alike(photo):
    photo = photo[None].astype(np.float32) / 255
    for whitened, low, high in ((False, 50, 10_000), (True, 1, 12)):
        squares = np.asarray(Patches(model_config("fast", whitened=whitened)).split(photo))
        deviations = np.sqrt(np.linalg.eigvalsh(np.cov(squares.reshape(-1, 48).T)))
        # Of the colours a photograph has little at the highest frequencies.
        assert low < deviations[-1] / deviations[24] < high


def test_pictures_that_come_along_are_whitened_one_by_one():
    patches = Patches(model_config("chooser"))
    one, two = np.random.default_rng(0).random((2, 1, 8, 8, 3)).astype(np.float32)
    both = np.asarray(patches.split(np.concatenate([one, two], axis=-1)))
    np.testing.assert_allclose(both[..., :48], patches.split(one), atol=1e-5)
    np.testing.assert_allclose(both[..., 48:], patches.split(two), atol=1e-5)
    # What is given beside a picture's correction stays as it is.
    more = np.arange(64, dtype=np.float32).reshape(1, 2, 2, 16)
    joined = patches.join(np.concatenate([np.zeros((1, 2, 2, 48), np.float32), more], axis=-1))
    np.testing.assert_array_equal(joined[..., :3], np.zeros((1, 8, 8, 3)))
    np.testing.assert_array_equal(joined[0, 2, 5, 3], more[0, 0, 1, 4 * 2 + 1])


def test_candidates_are_weighted_for_each_pixel():
    small = {"widths": (4, 6), "blocks": 1, "scales": 1, "patch": 2, "whitened": False}
    model = srn_tf.create_model("chooser", candidates=2, hints=1, **small)
    pictures = np.random.default_rng(0).random((1, 8, 8, 12)).astype(np.float32)
    blurred, first, second = (pictures[..., i : i + 3] for i in (0, 3, 6))
    mostly_blurred = np.exp([3, 0, 0]) / np.exp([3, 0, 0]).sum()

    def mean(weights):
        return sum(w * p for w, p in zip(weights, (blurred, first, second), strict=True))

    np.testing.assert_allclose(model(pictures)[-1], mean(mostly_blurred), atol=1e-6)
    # Each pixel of a patch has a correction of 3 channels, then 3 weights.
    bias = np.zeros((4, 6))
    bias[:, :3] = [0.1, 0.2, 0.3]
    bias[:, 3:] = [-3, 1, 2]
    output_conv = model.networks[0].decoder.output_conv
    # Channels of a patch lie row by row, and pixel by pixel.
    output_conv.bias.assign(bias.ravel())
    weights = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    expected = mean(weights) + np.float32([0.1, 0.2, 0.3])
    np.testing.assert_allclose(model(pictures)[-1], expected, atol=1e-6)


def test_doubling_conv_is_a_transposed_convolution():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    layer = DoublingConv(6, activation="relu")
    layer.build(x.shape)
    layer.bias.assign(np.linspace(-1, 1, 6))
    plain = keras.layers.Conv2DTranspose(6, 4, strides=2, padding="same", activation="relu")
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    for training in (False, True):
        np.testing.assert_allclose(layer(x, training=training), plain(x), atol=1e-5)


def test_initial_weights_are_xavier_and_the_lstm_kernel_is_nearly_zero():
    model = srn_tf.create_model("lstm")
    by_path = {variable.path.partition("/")[2]: variable.numpy() for variable in model.variables}
    kernel = by_path["g_net/encoder/enc2_2/conv1/kernel"]
    limit = np.sqrt(6 / (25 * 64 + 25 * 64))
    assert np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    lstm = by_path["g_net/convLSTM/LSTM_conv/kernel"]
    assert np.abs(lstm).max() <= 2e-3
    assert lstm.std() == pytest.approx(0.88e-3, rel=0.02)  # a normal distribution cut at 2 sigma
    assert all(not array.any() for path, array in by_path.items() if path.endswith("bias"))


def test_a_fresh_residual_network_gives_its_input_back():
    blurred = np.random.default_rng(0).random((1, 16, 32, 3)).astype(np.float32)
    outputs = srn_tf.create_model("color_lstm_residual", **SMALL)(blurred)
    for output, image in zip(outputs, pyramid(blurred, 3), strict=True):
        np.testing.assert_array_equal(output, image)


def test_only_blocks_of_residual_networks_start_as_the_identity():
    x = np.random.default_rng(0).standard_normal((1, 8, 8, 4)).astype(np.float32)
    for name, unchanged in (("color_lstm_residual", True), ("color_lstm", False)):
        decoder = srn_tf.create_model(name, **SMALL).networks[0].decoder
        block = decoder.levels[-1][-1]
        assert np.array_equal(block(x), x) == unchanged


def test_the_residual_is_added_to_the_blurred_image():
    model = srn_tf.create_model("color_lstm_residual", **SMALL)
    plain = srn_tf.create_model("color_lstm", **SMALL)
    randomize(model)
    for mine, other in zip(plain.variables, model.variables, strict=True):
        mine.assign(other)
    image, estimate = np.random.default_rng(0).random((2, 1, 16, 32, 3)).astype(np.float32)
    with_residual, _ = model.step(0, image, estimate, None)
    without, _ = plain.step(0, image, estimate, None)
    np.testing.assert_allclose(with_residual, image + without, atol=1e-6)


def test_gradients_pass_between_scales_through_the_state_and_not_the_estimate():
    model = srn_tf.create_model("color_lstm", **SMALL)
    randomize(model)
    estimate = tf.random.stateless_uniform((1, 8, 8, 3), [0, 1])
    hidden = tf.random.stateless_uniform((1, 2, 2, 8), [0, 2])
    with tf.GradientTape() as tape:
        tape.watch([estimate, hidden])
        enlarged, state = model.enlarge(1, estimate, (hidden, hidden))
        output, _ = model.step(1, enlarged, enlarged, state)
    by_estimate, by_hidden = tape.gradient(output, [estimate, hidden])
    assert by_estimate is None
    assert np.abs(by_hidden).max() > 0


@pytest.mark.parametrize("shape", [(1, 17, 16, 3), (1, 16, 8, 3), (1, 0, 16, 3)])
def test_sizes_that_do_not_fit_are_refused_by_name(shape):
    model = srn_tf.create_model("color", **SMALL)
    with pytest.raises(ValueError, match=r"(height|width) \d+ is not a multiple of 16"):
        model(np.zeros(shape, np.float32))


def test_restore_takes_any_size():
    model = srn_tf.create_model("color_lstm", **SMALL)
    randomize(model)
    image = np.random.default_rng(0).random((1, 19, 33, 3)).astype(np.float32)
    padded = np.pad(image, [(0, 0), (0, 13), (0, 15), (0, 0)], mode="edge")
    np.testing.assert_array_equal(restore(model, image), model(padded)[-1][:, :19, :33])


def test_bfloat16_computes_on_float32_variables_and_stays_close():
    model = srn_tf.create_model("color_lstm", **SMALL)
    low = srn_tf.create_model("color_lstm", dtype="mixed_bfloat16", **SMALL)
    randomize(model)
    for mine, other in zip(low.variables, model.variables, strict=True):
        mine.assign(other)
    assert {variable.dtype for variable in low.variables} == {"float32"}
    image = np.random.default_rng(0).random((1, 32, 32, 3)).astype(np.float32)
    expected, output = model(image)[-1], low(image)[-1]
    assert output.dtype == tf.float32
    error = np.abs(output - expected).max()
    assert 0 < error < 0.05 * np.abs(expected).max()


def test_unknown_names_and_values_are_refused():
    with pytest.raises(ValueError, match="no model named 'colour'; there are lstm, gray, color"):
        srn_tf.create_model("colour")
    with pytest.raises(ValueError, match="color has no option 'block_count'"):
        srn_tf.create_model("color", block_count=2)
    with pytest.raises(ValueError, match="kernel_size must be 1, 3, 5 or 7, not 4"):
        srn_tf.create_model("color", kernel_size=4)


def test_importing_the_package_brings_neither_keras_nor_tensorflow():
    code = "import srn_tf, sys; srn_tf.MODELS; print({'keras', 'tensorflow'} & set(sys.modules))"
    assert run_python(code).strip() == "set()"
