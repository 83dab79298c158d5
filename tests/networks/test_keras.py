"""Keras' own ways with a network: configurations, files, clones, summaries, export, fit."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL, TESTS, compiling_once, randomize, run_python

import srn_tf
from srn_tf.checkpoints import archive
from srn_tf.data.sharp_pairs import SharpPairs
from srn_tf.evaluation.metrics import psnr, ssim
from srn_tf.networks.configs import MODELS, names_of
from srn_tf.training.losses import losses_of_scales, multi_scale_l2

PHOTOS = str(TESTS.parent / "demo" / "pictures" / "sharp")
# Every network, layer and cell is in one of them.
NETWORKS = {
    "lstm": {"kernel_size": 3, "widths": (2, 4), "blocks": 1, "norm": True, "scales": 2},
    "chooser": {"widths": (2, 4), "blocks": 1, "patch": 2, "scales": 2},
    "rnn": {"widths": (2,), "blocks": 1, "scales": 2},
    "sc": {"widths": (2,), "blocks": 1},
    "gray": {"kernel_size": 1, "widths": (2, 4), "blocks": 1, "scales": 1},
    "sr_flat": {"widths": (2, 4), "blocks": 1, "scales": 1},
    "mscnn": {"kernel_size": 3, "width": 2, "blocks": 1, "scales": 2},
    "pss_nsc": {"widths": (2, 4, 6), "scales": 2},
}
# Those that go through files in processes of their own: one of each kind.
FILES = {
    "lstm": {"kernel_size": 3, "widths": (2, 2), "blocks": 1, "norm": True, "scales": 1},
    "mscnn": {"kernel_size": 3, "width": 2, "blocks": 1, "scales": 2},
    "pss_nsc": {"widths": (2, 4, 6), "scales": 1},
}
COMPILED = """
import keras
def compiled(model):
    if keras.backend.backend() != "jax":
        return model
    import jax  # which otherwise compiles each operation alone
    return jax.jit(lambda pictures: model(pictures))
"""
SAVE = """
import json, keras, numpy as np, srn_tf
folder, networks = {folder!r}, json.loads({networks!r})
for name, changes in networks.items():
    model, rng = srn_tf.create_model(name, **changes), np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(rng.normal(0.1, 0.1, variable.shape))
    pictures = rng.random((1, 32, 16, model.config.input_channels), np.float32)
    model.save(f"{{folder}}/{{name}}.keras")
    model.save_weights(f"{{folder}}/{{name}}.weights.h5")
    np.savez(f"{{folder}}/{{name}}.npz", pictures, *map(np.asarray, compiled(model)(pictures)))
"""
LOAD = """
import json, keras, numpy as np
from srn_tf import create_model, load_model  # which tells Keras of the classes
folder, networks = {folder!r}, json.loads({networks!r})
for name, changes in networks.items():
    pictures, *outputs = np.load(f"{{folder}}/{{name}}.npz").values()
    path = f"{{folder}}/{{name}}.keras"
    model = keras.saving.load_model(path)
    assert len(outputs) == model.config.scales
    for output, expected in zip(compiled(model)(pictures), outputs, strict=True):
        np.testing.assert_array_equal(np.asarray(output), expected, err_msg=name)
    weights = create_model(name, **changes)
    weights.load_weights(f"{{folder}}/{{name}}.weights.h5")
    for other in (load_model(path, name=name), weights):
        assert other.config == model.config
        for ours, theirs in zip(other.variables, model.variables, strict=True):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), err_msg=name)
print(keras.backend.backend())
"""
FIT = """
import keras, numpy as np
from srn_tf import SharpPairs, create_model, losses, metrics
keras.utils.set_random_seed(0)  # some weights give a restored picture that is nothing like one
model = create_model("ss", kernel_size=1, widths=(2, 2), blocks=1)
on_jax = keras.backend.backend() == "jax"
if on_jax:
    one = keras.InputSpec(shape=(1, 32, 16, 3), dtype="float32")
    model.export({path!r} + "_export", input_signature=[one], verbose=False)
    import tensorflow as tf
    picture = np.random.default_rng(0).random((1, 32, 16, 3), np.float32)
    loaded = tf.saved_model.load({path!r} + "_export")
    (served,) = loaded.serve(picture)
    np.testing.assert_allclose(served, model(picture)[-1], atol=1e-5)
    try:
        model.export({path!r} + "_any")
    except ValueError as error:
        assert "give input_signature" in str(error)
    else:
        raise AssertionError
pairs = SharpPairs({photos!r}, batch_size=2, crop_size=32, batches=2, max_blur=4.0)
scores = [metrics.PSNR(), metrics.SSIM()]
model.compile("adam", losses.MultiScaleLoss("charbonnier"), metrics=scores, jit_compile=on_jax)
history = model.fit(pairs, verbose=0).history
assert 5 < history["psnr"][0] < 40 and 0 < history["ssim"][0] < 1 and history["loss"][0] > 0
model.save({path!r})
again = keras.saving.load_model({path!r})
assert (again.loss.kind, again.optimizer.iterations) == ("charbonnier", 2)
picture = pairs[0][0]
np.testing.assert_array_equal(np.asarray(again(picture)[-1]), np.asarray(model(picture)[-1]))
"""


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    model = srn_tf.create_model(request.param, **NETWORKS[request.param])
    randomize(model)
    return model


def pictures_for(model, *sides) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((1, *(sides or (32, 16)), model.config.input_channels), np.float32)


@pytest.mark.long
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_files_give_the_same_bits_in_a_fresh_process(tmp_path, backend):
    # Each makes JAX compile for seconds.
    files = FILES if backend == "tensorflow" else {"lstm": FILES["lstm"]}
    values = {"folder": str(tmp_path), "networks": json.dumps(files)}
    fit = FIT.format(photos=PHOTOS, path=str(tmp_path / "fit.keras"))
    environment = {"KERAS_BACKEND": backend, **compiling_once(tmp_path)}
    if backend == "tensorflow":
        exec(COMPILED + SAVE.format(**values), {})
        exec(fit, {})
    else:
        run_python(COMPILED + SAVE.format(**values) + fit, **environment)
    assert run_python(COMPILED + LOAD.format(**values), **environment).strip() == backend


@pytest.mark.slow
def test_configurations_are_plain_json_and_make_the_same_again(network):
    for layer in (network, *network._flatten_layers(include_self=False)):
        config = layer.get_config()
        again = type(layer).from_config(json.loads(json.dumps(config)))
        assert json.dumps(again.get_config()) == json.dumps(config)
        if type(layer).__module__.startswith("srn_tf"):
            assert keras.saving.get_registered_name(type(layer)).startswith("srn_tf>")


@pytest.mark.slow
def test_a_clone_is_built_and_takes_the_weights(network):
    clone = keras.models.clone_model(network)
    assert [v.path for v in clone.variables] == [v.path for v in network.variables]
    clone.set_weights(network.get_weights())
    pictures = pictures_for(network)
    for output, expected in zip(clone(pictures), network(pictures), strict=True):
        np.testing.assert_array_equal(output, expected)


def test_precision_is_part_of_a_configuration():
    model = srn_tf.create_model("ss", dtype="mixed_bfloat16", **SMALL)
    assert keras.models.clone_model(model).dtype_policy.name == "mixed_bfloat16"


@pytest.mark.slow
def test_shapes_that_are_told_are_those_that_come_out(network):
    pictures = pictures_for(network)
    shapes = [output.shape for output in network(pictures)]
    assert network.compute_output_shape(pictures.shape) == shapes
    seen = {}

    def spy(layer):
        call = layer.call

        def watched(x, *args, **kwargs):
            output = call(x, *args, **kwargs)
            seen[layer] = tuple(x.shape), output
            return output

        return watched

    copy = type(network).from_config(network.get_config())
    layers = list(copy._flatten_layers(include_self=False))
    for layer in layers:
        layer.call = spy(layer)
    copy(pictures)
    assert len(seen) == len(layers)
    for layer, (shape, output) in seen.items():
        told = layer.compute_output_shape(shape)
        if isinstance(told[0], tuple):  # the encoder's features
            assert [tuple(part.shape) for part in output] == told
        else:
            picture = output[0] if isinstance(output, tuple) else output  # without a state
            assert tuple(picture.shape) == tuple(told), layer


def test_the_summary_has_a_shape_for_every_layer(network):
    lines = []
    network.summary(expand_nested=True, print_fn=lines.append)
    (text,) = lines
    assert "?" not in text
    for layer in network._flatten_layers(include_self=False):
        assert layer.name in text
    assert "(None, None, None, " in text


def test_a_functional_model_can_hold_a_network():
    model = srn_tf.create_model("ss", **SMALL)
    randomize(model)
    blurred = keras.Input((None, None, 3))
    around = keras.Model(blurred, 1 - model(blurred)[-1])
    pictures = pictures_for(model)
    np.testing.assert_array_equal(around(pictures), 1 - model(pictures)[-1])


@pytest.mark.slow
def test_keras_export_takes_any_size(tmp_path):
    model = srn_tf.create_model("lstm", **NETWORKS["lstm"])
    randomize(model)
    model.export(str(tmp_path / "export"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "export"))
    for pictures in (pictures_for(model), pictures_for(model, 16, 48)):
        for output, expected in zip(served.serve(pictures), model(pictures), strict=True):
            np.testing.assert_allclose(output, expected, atol=1e-6)


@pytest.mark.slow
def test_the_loss_adds_up_the_scales_and_weighs_them():
    model = srn_tf.create_model("wo_r", **SMALL)
    randomize(model)
    blurred, sharp = np.random.default_rng(0).random((2, 2, 32, 32, 3)).astype(np.float32)
    outputs = model(blurred)
    model.compile(loss=srn_tf.losses.MultiScaleLoss(), jit_compile=False)
    total = float(multi_scale_l2(sharp, outputs))
    assert model.evaluate(blurred, sharp, verbose=0)[0] == pytest.approx(total, rel=1e-6)
    loss = srn_tf.losses.MultiScaleLoss("charbonnier", spectrum=0.1)
    model.compile(loss=[loss] * 3, loss_weights=[1.0, 2.0, 4.0], jit_compile=False)
    parts = losses_of_scales(sharp, outputs, "charbonnier", 0.1)
    expected = sum(w * float(p) for w, p in zip((1, 2, 4), parts, strict=True))
    assert model.evaluate(blurred, sharp, verbose=0)[0] == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="kind must be one of l2, charbonnier, not 'l1'"):
        srn_tf.losses.MultiScaleLoss("l1")


@pytest.mark.slow
def test_metrics_are_the_numbers_of_the_scores(photo):
    rng = np.random.default_rng(0)
    sharp = np.stack([photo[i : i + 40, i : i + 60] for i in (0, 100, 300)])
    restored = np.clip(sharp + rng.normal(0, 8, sharp.shape) * [[[[1]]], [[[2]]], [[[3]]]], -9, 264)
    in_8_bits = np.rint(restored.clip(0, 255)).astype(np.uint8)
    for metric, score in ((srn_tf.metrics.PSNR(), psnr), (srn_tf.metrics.SSIM(), ssim)):
        for part in (slice(0, 2), slice(2, 3)):  # the mean is over pictures, not batches
            metric.update_state(
                sharp[part].astype(np.float32) / 255, restored[part].astype(np.float32) / 255
            )
        expected = np.mean([score(s, r) for s, r in zip(sharp, in_8_bits, strict=True)])
        assert float(metric.result()) == pytest.approx(expected, abs=1e-4)
        assert type(metric).from_config(metric.get_config()).name == metric.name


def test_pairs_are_those_of_the_programs_own_training():
    from srn_tf.data.config import DataConfig
    from srn_tf.data.examples import make_batch
    from srn_tf.data.sources import create_source

    options = {"crop_size": 32, "max_blur": 6.0, "flips": True}
    pairs = SharpPairs(PHOTOS, batch_size=2, batches=3, seed=7, **options)
    source = create_source(DataConfig(sharp_path=PHOTOS, **options))
    assert len(pairs) == 3
    for epoch in range(2):
        for index in (0, 2):
            first = (3 * epoch + index) * 2
            blurred, sharp = make_batch(source, (first, first + 1), 7) / np.float32(255)
            np.testing.assert_array_equal(pairs[index][0], blurred)
            np.testing.assert_array_equal(pairs[index][1], sharp)
        pairs.on_epoch_end()
    assert SharpPairs(PHOTOS, 1, 32, channels=1)[0][0].shape == (1, 32, 32, 1)
    with pytest.raises(ValueError, match="max_blur must be 0 to 256 pixels"):
        SharpPairs(PHOTOS, 1, 32, max_blur=-1.0)


def test_the_model_of_a_configuration_is_the_nearest():
    assert {name: names_of(config)[0] for name, config in MODELS.items()} == dict(
        zip(MODELS, MODELS, strict=True)
    )
    small = srn_tf.create_model("color_lstm", **SMALL).config
    assert "color_lstm" in names_of(small) and "color" not in names_of(small)


def test_the_archive_and_keras_files_hold_the_same(tmp_path, model):
    archive.save(tmp_path / "a.npz", "color_lstm_residual", model)
    model.save(tmp_path / "a.keras")
    npz, file = (srn_tf.load_model(tmp_path / f"a.{kind}") for kind in ("npz", "keras"))
    assert npz.config == file.config
    for ours, theirs in zip(npz.variables, file.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
