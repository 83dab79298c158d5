"""Deblurring arrays: any size, any kind of picture, in tiles, in the precision asked for."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import SMALL, randomize
from PIL import Image

import srn_tf
from srn_tf.checkpoints import archive
from srn_tf.restoration import tiling
from srn_tf.restoration.deblurrer import Deblurrer, fastest_precision, precision_of_processor


def exact(model, blurred) -> np.ndarray:
    """The network's result for a uint8 colour picture, [0, 255], neither clipped nor rounded."""
    height, width = blurred.shape[:2]
    extra = [(0, -height % 16), (0, -width % 16), (0, 0)]
    padded = np.pad(blurred, extra, mode="edge")[np.newaxis].astype(np.float32) / 255
    return 255 * np.array(model(padded)[-1])[0, :height, :width]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (37, 50)])
@pytest.mark.slow
def test_any_size_is_padded_by_its_edge_cropped_and_rounded(model, photo, height, width):
    blurred = photo[:height, :width]
    expected = np.rint(np.clip(exact(model, blurred), 0, 255))
    restored = Deblurrer(model).deblur(blurred)
    assert restored.dtype == np.uint8
    assert restored.shape == blurred.shape
    # Where the exact value lies between two levels, float32 may round it either way.
    assert np.abs(restored - expected).max() <= 1
    assert (restored != expected).mean() < 1e-2


@pytest.mark.slow
def test_a_one_channel_model_restores_each_channel_alone(photo):
    model = srn_tf.create_model("lstm", **SMALL)
    randomize(model)
    image = photo[:32, :48]
    restored = Deblurrer(model).deblur(image)
    assert restored.std() > 1
    for channel in range(3):
        alone = exact(model, image[..., channel, np.newaxis])[..., 0]
        np.testing.assert_allclose(restored[..., channel], np.clip(alone, 0, 255), atol=0.51)


@pytest.mark.slow
def test_16_bits_and_floats_are_restored_finer_than_8_bits(model, photo):
    blurred = photo[:32, :48]
    expected = np.clip(exact(model, blurred), 0, 255)
    deblurrer = Deblurrer(model)
    sixteen = deblurrer.deblur(blurred.astype(np.uint16) * 257)
    assert sixteen.dtype == np.uint16
    np.testing.assert_allclose(sixteen / 257, expected, atol=0.01)
    for dtype in (np.float32, np.float64):
        restored = deblurrer.deblur((blurred / 255).astype(dtype))
        assert restored.dtype == dtype
        np.testing.assert_allclose(restored * 255, expected, atol=0.01)


@pytest.mark.parametrize("name", ["color_lstm_residual", "lstm"])
@pytest.mark.slow
def test_alpha_passes_untouched_and_gray_stays_gray(photo, name):
    model = srn_tf.create_model(name, **SMALL)
    randomize(model)
    deblurrer = Deblurrer(model)
    color, alpha = photo[:32, :48], photo[:32, 100:148, :1]
    restored = deblurrer.deblur(color)
    assert restored.std() > 1
    with_alpha = deblurrer.deblur(np.dstack([color, alpha]))
    np.testing.assert_array_equal(with_alpha, np.dstack([restored, alpha]))
    gray = color[..., 0]
    if model.config.channels == 1:
        expected = exact(model, gray[..., np.newaxis])[..., 0]
    else:
        expected = exact(model, np.dstack([gray] * 3)).mean(axis=-1)
    plain = deblurrer.deblur(gray)
    np.testing.assert_allclose(plain, np.clip(expected, 0, 255), atol=1)
    np.testing.assert_array_equal(deblurrer.deblur(gray[..., np.newaxis])[..., 0], plain)
    gray_alpha = deblurrer.deblur(np.dstack([gray, alpha]))
    np.testing.assert_array_equal(gray_alpha, np.dstack([plain, alpha]))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 5), np.uint8), r"\[8, 8, 5\]"),
        (np.zeros((0, 8, 3), np.uint8), r"\[0, 8, 3\]"),
        (np.zeros(8, np.uint8), r"\[8\]"),
        (np.zeros((8, 8, 3), np.int32), "uint8, uint16 or floating-point, not int32"),
        (np.full((8, 8, 3), 255.0), r"within \[0, 1\], not \[255, 255\]"),
        (np.full((8, 8, 3), np.nan), r"within \[0, 1\], not \[nan, nan\]"),
    ],
)
@pytest.mark.slow
def test_arrays_that_are_no_picture_are_refused(model, image, message):
    with pytest.raises(ValueError, match=f"a .*picture must be .*{message}"):
        Deblurrer(model).deblur(image)


@pytest.mark.slow
def test_a_batch_gives_what_each_picture_gives_alone(photo):
    model = srn_tf.create_model("lstm", **SMALL)
    randomize(model)
    images = np.stack([photo[i : i + 40, :50] for i in (0, 100, 200)])
    deblurrer = Deblurrer(model)
    alone = np.stack([deblurrer.deblur(image) for image in images])
    assert len(np.unique(alone, axis=0)) == 3
    np.testing.assert_allclose(deblurrer.deblur_batch(images).astype(int), alone, atol=1)


@pytest.mark.slow
def test_one_trace_serves_all_sizes(model, photo, monkeypatch):
    deblurrer = Deblurrer(model)
    monkeypatch.setattr(model, "step", None)  # a further trace would need it
    for size in (16, 33, 50):
        assert deblurrer.deblur(photo[:size, :size]).shape == (size, size, 3)


# Tiles


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("color", size) for size in [(16, 16), (256, 272), (272, 1040), (800, 528)]),
        *(("fast", size) for size in [(448, 832), (64, 576)]),
    ],
)
@pytest.mark.parametrize("state_ratio", [1, 4])
def test_tiles_are_cut_and_stitched_where_they_belong(name, size, state_ratio):
    """Of a network that returns what it is given, every part must come back in its place."""
    positions = np.arange(size[0] * size[1], dtype=np.float32).reshape(1, *size, 1) / 2**20
    tiles = []

    def step(blurred, estimate=None, state=None):
        if estimate is not None:
            np.testing.assert_allclose(estimate, blurred[:, ::2, ::2], rtol=1e-6)
            spacing = 2 * state_ratio
            np.testing.assert_allclose(state[0], blurred[:, ::spacing, ::spacing], rtol=1e-6)
        tiles.append(blurred.shape)
        return blurred, (blurred[:, ::state_ratio, ::state_ratio],)

    config = srn_tf.MODELS[name]
    told = []
    restored = tiling.restore_in_tiles(
        [step] * 3, positions, 1, config, tile=256, on_tile=lambda *counts: told.append(counts)
    )
    np.testing.assert_allclose(restored, positions, rtol=1e-6)
    assert told == [(i + 1, len(tiles)) for i in range(len(tiles))]
    assert max(max(shape) for shape in tiles) <= 256


@pytest.mark.long
@pytest.mark.parametrize("name", ["color_lstm", "lstm", "mscnn", "pss_nsc", "sr_edrb1"])
def test_tiles_give_the_result_of_the_whole_picture(photo, name):
    small = {"width": 6} if name == "mscnn" else {"widths": (4, 6, 8)}
    small |= {"scales": 2} if name == "pss_nsc" else {"blocks": 1}
    model = srn_tf.create_model(name, **small)
    randomize(model, scale=0.02 if name == "pss_nsc" else 0.1)
    deblurrer = Deblurrer(model)
    blurred = photo[:405, :390]
    whole = deblurrer.deblur(blurred)
    deblurrer.tile = tiling.SMALLEST_TILE
    told = []
    (tiled,) = deblurrer.deblur_batch(blurred[np.newaxis], lambda *counts: told.append(counts))
    total = told[-1][1]  # of each part of the batch
    assert total > model.config.scales
    assert told == [(i % total + 1, total) for i in range(len(told))] and told[-1][0] == total
    assert whole.std() > 1
    assert np.abs(tiled.astype(int) - whole).max() <= 1


@pytest.mark.slow
def test_out_of_memory_halves_the_tile_and_goes_on(model, photo, caplog):
    deblurrer = Deblurrer(model)
    expected = deblurrer.deblur(photo)
    deblurrer.tile, steps = 1024, deblurrer._steps

    def limited(step, side=300):
        def run(blurred, *rest):
            if blurred.shape[1] > side:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return step(tf.constant(blurred), *rest)

        return run

    deblurrer._steps = [limited(step) for step in steps]
    restored = deblurrer.deblur(photo)
    assert np.abs(restored.astype(int) - expected).max() <= 1
    assert deblurrer.tile == 256
    assert "out of memory with tiles of 1024 pixels; going on with 256" in caplog.text
    tile = deblurrer.tile  # the smallest
    deblurrer._steps = [limited(step, 100) for step in steps]
    with pytest.raises(MemoryError, match=f"not even for tiles of {tile} pixels"):
        deblurrer.deblur(photo)


@pytest.mark.slow
def test_out_of_memory_splits_a_batch_before_its_pictures(model, photo, caplog):
    deblurrer = Deblurrer(model, tile=1024)
    images = np.stack([photo[:300, i : i + 300] for i in range(4)])
    expected, steps = deblurrer.deblur_batch(images), deblurrer._steps

    def limited(step):
        def run(blurred, *rest):
            if len(blurred) > 1:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return step(tf.constant(blurred), *rest)

        return run

    deblurrer._steps = [limited(step) for step in steps]
    np.testing.assert_allclose(deblurrer.deblur_batch(images).astype(int), expected, atol=1)
    assert deblurrer.tile == 304  # 4 padded pictures were as much as a tile of 608
    assert "going on with 304" in caplog.text


@pytest.mark.parametrize("most", [2**24, 1000], ids=["small", "large"])
@pytest.mark.slow
def test_small_weights_become_constants_after_some_pictures_and_the_numbers_stay(
    checkpoint, photo, monkeypatch, most
):
    monkeypatch.setattr("srn_tf.restoration.deblurrer._MOST_CONSTANT", most)
    deblurrer = Deblurrer(checkpoint, "float32")
    image = np.float32(photo[:64, :48]) / 255

    def operations() -> set[str]:
        return {op.type for step in deblurrer._steps[:2] for op in step.graph.get_operations()}

    expected = deblurrer.deblur(image)
    assert "ReadVariableOp" in operations()
    for _ in range(50):
        restored = deblurrer.deblur(image)
    assert ("ReadVariableOp" in operations()) == (most == 1000)
    np.testing.assert_allclose(restored, expected, rtol=0, atol=1e-6)
    assert expected.std() > 0.01


@pytest.mark.slow
def test_the_tile_follows_from_the_memory_at_hand(monkeypatch, model):
    class Memory:
        available = 64 * 2**30

    monkeypatch.setattr("psutil.virtual_memory", lambda: Memory)
    assert Deblurrer(model).tile == 1408
    Memory.available = 10**9
    assert Deblurrer(model).tile == 704  # half a gigabyte, of a thousand bytes a pixel
    Memory.available = 0
    assert Deblurrer(model).tile == tiling.SMALLEST_TILE
    assert Deblurrer(model, tile=512).tile == 512
    with pytest.raises(ValueError, match="tile must be at least 256 pixels, not 100"):
        Deblurrer(model, tile=100)


# What a picture may be


@pytest.fixture(scope="module")
def deblurrer():
    model = srn_tf.create_model("color", **SMALL)
    randomize(model)
    return Deblurrer(model)


def test_pictures_of_other_kinds_are_restored_as_their_array_is(deblurrer, photo, tmp_path):
    photo = photo[:32, :48]
    expected = deblurrer.deblur(photo)
    assert (expected != photo).any()
    path = tmp_path / "a.png"
    Image.fromarray(photo).save(path)
    for given in (path, str(path), list(photo), tf.constant(photo), Image.open(path)):
        np.testing.assert_array_equal(np.asarray(deblurrer.deblur(given)), expected)
    for dtype in (np.uint16, np.float32):
        native = photo.astype(dtype) / 255 if dtype == np.float32 else photo.astype(dtype) * 257
        native = native.astype(dtype)
        swapped = native.astype(native.dtype.newbyteorder())
        restored = deblurrer.deblur(swapped)
        assert restored.dtype == swapped.dtype
        np.testing.assert_array_equal(restored, deblurrer.deblur(native))


@pytest.mark.parametrize(
    ("mode", "restored_as"),
    [
        *((mode, mode) for mode in ("L", "LA", "RGB", "RGBA", "I;16")),
        *(("1", "L"), ("P", "RGB"), ("PA", "RGBA"), ("I;16B", "I;16")),
    ],
)
def test_a_picture_of_pillows_gives_one(deblurrer, photo, mode, restored_as):
    if mode.startswith("I;16"):
        values = photo[:32, :48, 0].astype(np.uint16) * 257
        picture = Image.frombytes(mode, (48, 32), values.astype(">u2" if "B" in mode else "<u2"))
    else:
        picture = Image.fromarray(photo[:32, :48]).convert("P" if mode == "PA" else mode)
        picture = picture.convert(mode)
        values = np.asarray(picture.convert(restored_as))
    picture.info["dpi"] = (72, 72)
    restored = deblurrer.deblur(picture)
    assert (restored.mode, restored.info) == (restored_as, {"dpi": (72, 72)})
    np.testing.assert_array_equal(np.asarray(restored), deblurrer.deblur(values))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Image.new("CMYK", (8, 8)), "must be of mode L, .*, not CMYK"),
        ([[1, 2], [3]], "must be an array; of this list comes none: .*inhomogeneous"),
        ([[1, 2], [3, 4]], "must be uint8, uint16 or floating-point, not int64"),
        (None, r"must be \[height, width\] or"),
        (tf.zeros((8, 8), tf.bfloat16), "must be uint8, uint16 or floating-point, not bfloat16"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(deblurrer, given, message):
    with pytest.raises(srn_tf.UserError, match=message) as caught:
        deblurrer.deblur(given)
    assert "\n" not in str(caught.value)


# One file, one network


@pytest.mark.slow
def test_the_second_of_a_file_has_the_network_of_the_first(checkpoint, photo):
    first = Deblurrer(checkpoint, "float32")
    assert Deblurrer(str(checkpoint), "float32", tile=512).model is first.model
    assert Deblurrer(checkpoint, "bfloat16").model is not first.model
    before = first.deblur(photo[:16, :16])
    other = srn_tf.create_model("color_lstm_residual", **SMALL)
    randomize(other, seed=1)
    archive.save(checkpoint, "color_lstm_residual", other)
    anew = Deblurrer(checkpoint, "float32").deblur(photo[:16, :16])
    np.testing.assert_array_equal(anew, Deblurrer(other).deblur(photo[:16, :16]))
    np.testing.assert_array_equal(first.deblur(photo[:16, :16]), before)


@pytest.mark.long
def test_nothing_is_printed_from_python(checkpoint):
    script = "import sys, srn_tf; srn_tf.Deblurrer(sys.argv[1])"
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    ended = subprocess.run(
        [sys.executable, "-c", script, checkpoint],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout + ended.stderr == ""


# Precision


@pytest.mark.slow
def test_the_precision_is_the_one_asked_for(checkpoint, photo):
    blurred = photo[:64, :64]
    float32 = Deblurrer(checkpoint, precision="float32")
    bfloat16 = Deblurrer(checkpoint, precision="bfloat16")
    assert (float32.precision, bfloat16.precision) == ("float32", "bfloat16")
    a, b = (d.deblur((blurred / 255).astype(np.float32)) for d in (float32, bfloat16))
    assert 0 < np.abs(a - b).max() < 0.05
    with pytest.raises(ValueError, match="must be one of auto, float32, bfloat16, float16, not"):
        Deblurrer(checkpoint, precision="half")


@pytest.mark.parametrize(
    ("has", "precision"),
    [
        ("fpu avx2", "float32"),
        ("AuthenticAMD avx512f avx512_bf16", "bfloat16"),
        ("GenuineIntel avx512f avx512_bf16", "float32"),
        ("GenuineIntel avx512f avx512_bf16 amx_bf16 amx_tile", "bfloat16"),
        ("avx512f amx_tile amx_int8", "float32"),
        ("", "float32"),
    ],
)
def test_auto_is_what_the_processor_has(has, precision):
    assert precision_of_processor(set(has.split())) == precision


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), "float32"), ((9, 0), "bfloat16")])
@pytest.mark.slow
def test_auto_is_what_the_oldest_gpu_has(checkpoint, monkeypatch, capability, chosen):
    capabilities = {"new": (9, 0), "other": capability}
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: list(capabilities))
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"compute_capability": capabilities[gpu]},
    )
    fastest_precision.cache_clear()
    try:
        assert Deblurrer(checkpoint).precision == chosen
    finally:
        fastest_precision.cache_clear()


def test_a_network_has_its_own_precision():
    model = srn_tf.create_model("color", dtype="mixed_bfloat16", **SMALL)
    assert Deblurrer(model).precision == "bfloat16"
    for wrong in ({"precision": "float32"}, {"name": "color"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is of a checkpoint; a network"):
            Deblurrer(model, **wrong)


@pytest.mark.slow
def test_nothing_is_logged_when_all_is_well(model, photo, caplog):
    with caplog.at_level(logging.INFO, "srn_tf"):
        Deblurrer(model).deblur(photo)
    assert caplog.records == []
