"""Pairs on the device: the crops of the processor, cut by a compiled function."""

import numpy as np
import pytest

from srn_tf.data.augmentation import AugmentedSource
from srn_tf.data.examples import make_batch
from srn_tf.data.packed import PackedSource, pack
from srn_tf.images.rgb import LUMA
from srn_tf.training.device_pairs import DevicePairs

pytest.importorskip("jax")
CROP = 8


class Pairs:
    """Pairs of different sizes, the second with a picture of one value."""

    names, notes = ["a", "b", "c"], []

    def __len__(self):
        return 3

    def read(self, index):
        shape = (10 + 3 * index, 14 - index, 3)
        blurred = np.random.default_rng(index).integers(0, 256, shape, np.uint8)
        return (blurred // 2, 255 - blurred) if index != 1 else (blurred * 0 + 100, blurred)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "pairs.npz"
    pack(Pairs(), path)
    return PackedSource(path, CROP)


@pytest.mark.parametrize(
    "changes", [{}, {"flips": True, "turns": True}, {"turns": True, "saturation": 0.5}]
)
@pytest.mark.slow
def test_batches_are_those_of_the_processor(store, changes):
    source = AugmentedSource(store, **changes) if changes else store
    pairs = DevicePairs(source, seed=3, channels=3)
    for positions in (range(6), range(100, 106)):
        expected = make_batch(source, positions, seed=3) / 255
        for ours, right in zip(pairs.batch(positions), expected, strict=True):
            np.testing.assert_allclose(ours, right, atol=1e-6)


@pytest.mark.slow
def test_one_channel_is_luma(store):
    blurred, _ = DevicePairs(store, seed=0, channels=1).batch(range(4))
    expected = make_batch(store, range(4), seed=0)[0] @ np.array(LUMA) / 255
    np.testing.assert_allclose(blurred[..., 0], expected, atol=1e-6)


@pytest.mark.slow
def test_noise_has_the_deviation_drawn_for_it_and_spares_the_sharp_crop(store):
    source = AugmentedSource(store, noise=20.0)
    blurred, sharp = DevicePairs(source, seed=0, channels=3).batch(range(60))
    plain_blurred, plain_sharp = make_batch(store, range(60), seed=0) / 255
    np.testing.assert_allclose(sharp, plain_sharp, atol=1e-6)
    noise = 255 * (np.asarray(blurred) - plain_blurred)
    flat = (plain_blurred == 100 / 255).all(axis=(1, 2, 3))  # nothing is clipped there
    deviations = noise[flat].std(axis=(1, 2, 3))
    assert 0 < deviations.min() < 6 and 14 < deviations.max() < 24
    np.testing.assert_allclose(noise, np.rint(noise), atol=1e-3)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (lambda store: AugmentedSource(store, jpeg=80), "jpeg must be 0 for pairs on the device"),
        (lambda store: type("List", (), {"crop_size": 8, "pictures": 2})(), "need a store"),
    ],
)
def test_what_cannot_lie_there_is_refused(store, source, line):
    source = source(store)
    for name in ("names", "notes", "content_marks"):
        if not hasattr(source, name):
            setattr(source, name, [])
    with pytest.raises(ValueError, match=line):
        DevicePairs(source, seed=0, channels=3)
