"""Data: lists and their refusals, paired crops, restart at any step, synthesized blur."""

import dataclasses

import cv2
import numpy as np
import psutil
import pytest
from helpers import TESTS
from PIL import Image

from srn_tf.data import checks
from srn_tf.data.augmentation import AugmentedSource
from srn_tf.data.camera import light_from, out_of_focus, soft_mask
from srn_tf.data.camera_shake import CameraPath, blur_along
from srn_tf.data.config import DataConfig
from srn_tf.data.pair_list import PairSource, read_list
from srn_tf.data.photographs import SyntheticSource
from srn_tf.data.pipeline import Batches
from srn_tf.data.processes import BatchProcesses
from srn_tf.images.read import read_kind
from srn_tf.images.rgb import read_rgb, write_image
from srn_tf.networks.configs import MODELS
from srn_tf.training.config import TrainingConfig

CROP = 16


@pytest.fixture
def pairs(tmp_path):
    """Five pairs in which a pixel of the sharp picture says where it is: (row, column, picture).

    The blurred one is its complement, so that any difference between the two crops shows.
    """
    lines = ["# sharp blurred", ""]
    for i in range(5):
        rows, columns = np.mgrid[:40, :50].astype(np.uint8)
        sharp = np.stack([rows, columns, np.full_like(rows, i)], axis=-1)
        write_image(tmp_path / f"sharp/{i}.png", sharp)
        write_image(tmp_path / f"blur/{i}.png", 255 - sharp)
        lines.append(f"sharp/{i}.png blur/{i}.png")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    return tmp_path / "list.txt"


def batches(source, count, **options):
    stream = iter(Batches(source, batch_size=2, **{"channels": 3, "seed": 7, **options}))
    return [next(stream) for _ in range(count)]


def test_the_gopro_lists_are_complete():
    for name, count in (("train", 2103), ("test", 1111)):
        lines = (TESTS.parent / f"data_lists/gopro_{name}.txt").read_text().splitlines()
        assert len(set(lines)) == len(lines) == count
        for line in lines:
            sharp, blurred = line.split()
            assert sharp.replace("/sharp/", "/blur/") == blurred


def test_epochs_of_the_gopro_list_make_the_authors_number_of_steps():
    config = TrainingConfig("lstm", MODELS["lstm"], DataConfig(datalist="x"), epochs=4000)
    assert config.steps(2103) == 524_000
    assert dataclasses.replace(config, max_steps=10).steps(2103) == 10


def test_a_list_gives_sharp_first_and_passes_over_comments(pairs):
    found = read_list(pairs, pairs.parent)
    assert len(found) == 5
    assert found[3].sharp == pairs.parent / "sharp/3.png"
    assert found[3].blurred == pairs.parent / "blur/3.png"


def test_a_list_with_mistakes_is_refused_with_file_and_line(pairs):
    mistakes = [f"sharp/{i}.png missing.png" for i in range(12)]
    pairs.write_text("\n".join(["sharp/0.png blur/0.png", "sharp/1.png", *mistakes]))
    with pytest.raises(ValueError) as refusal:
        read_list(pairs, pairs.parent)
    lines = str(refusal.value).splitlines()
    # Each of the 12 lines names one missing file, those with sharp/5 to sharp/11 two.
    assert lines[0] == "the data cannot be used; problems: 20"
    assert lines[1].strip() == f"{pairs}:2: expected `sharp blurred`, found 1 words"
    assert lines[2].strip() == f"{pairs}:3: no such file: {pairs.parent / 'missing.png'}"
    assert len(lines) == 12
    assert lines[-1].strip() == "and 10 more"


@pytest.mark.parametrize("content", ["", "# nothing\n"])
def test_an_empty_list_is_refused(tmp_path, content):
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(ValueError, match="no pairs in this list"):
        read_list(tmp_path / "list.txt", tmp_path)


def test_pictures_smaller_than_the_crop_are_refused_by_name(pairs):
    with pytest.raises(ValueError, match=r"sharp/0\.png: 50x40 is smaller than the crop of 48"):
        PairSource(pairs, pairs.parent, crop_size=48)


def test_a_file_without_a_picture_is_refused_by_name(pairs):
    (pairs.parent / "blur/3.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"list\.txt:6: .*blur/3\.png: not a picture that can be"):
        PairSource(pairs, pairs.parent, CROP)


def test_both_pictures_of_a_pair_get_the_same_crop(pairs):
    for blurred, sharp in batches(PairSource(pairs, pairs.parent, CROP), 4):
        assert sharp.shape == (2, CROP, CROP, 3)
        np.testing.assert_allclose(blurred + sharp, 1, atol=1e-6)
        rows = np.rint(sharp[..., 0] * 255)
        assert (np.diff(rows, axis=1) == 1).all()


def examples(source, count, **options):
    """(picture, row, column) of each training example: what order and crops decide."""
    found = []
    for _, sharp in batches(source, count, **options):
        for corner in np.rint(sharp[:, 0, 0] * 255).astype(int):
            found.append((corner[2], corner[0], corner[1]))
    return found


def test_every_epoch_has_each_pair_once_in_a_new_order(pairs):
    seen = [picture for picture, _, _ in examples(PairSource(pairs, pairs.parent, CROP), 10)]
    epochs = [tuple(seen[i : i + 5]) for i in range(0, 20, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len(set(epochs)) > 1


def test_crops_differ_and_reach_every_place(pairs):
    found = examples(PairSource(pairs, pairs.parent, CROP), 150)
    rows, columns = {row for _, row, _ in found}, {column for _, _, column in found}
    assert rows == set(range(40 - CROP + 1))
    assert columns == set(range(50 - CROP + 1))


def test_a_run_that_starts_at_a_later_step_sees_the_same_data(pairs):
    source = PairSource(pairs, pairs.parent, CROP)
    assert examples(source, 6, start_step=0)[6:] == examples(source, 3, start_step=3)


def test_the_seed_decides_order_and_crops(pairs):
    source = PairSource(pairs, pairs.parent, CROP)
    assert examples(source, 5, seed=1) == examples(source, 5, seed=1)
    assert examples(source, 5, seed=1) != examples(source, 5, seed=2)


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_together_see_the_batches_of_one(pairs, workers):
    source = PairSource(pairs, pairs.parent, CROP)
    options = {"batch_size": 6, "channels": 3, "seed": 7, "start_step": 4}
    streams = [iter(Batches(source, **options, share=(k, workers))) for k in range(workers)]
    whole = iter(Batches(source, **options))
    for _ in range(3):
        parts = [next(stream) for stream in streams]
        for together, alone in zip(zip(*parts, strict=True), next(whole), strict=True):
            assert {len(part) for part in together} == {6 // workers}
            np.testing.assert_array_equal(np.concatenate(together), alone)


def test_a_batch_that_workers_cannot_share_evenly_is_refused(pairs):
    source = PairSource(pairs, pairs.parent, CROP)
    with pytest.raises(ValueError, match="batch_size 6 must be a multiple of the 4 workers"):
        Batches(source, 6, 3, seed=0, share=(0, 4))


@pytest.mark.slow
def test_processes_of_their_own_make_the_batches_of_the_pipeline(pairs):
    paths = {"datalist": str(pairs), "data_root": str(pairs.parent)}
    config = DataConfig(**paths, crop_size=CROP)
    expected = batches(PairSource(pairs, pairs.parent, CROP), 6, start_step=1)
    with BatchProcesses(config, batch_size=2, seed=7, first=1, last=7, processes=2) as made:
        for pixels, (blurred, sharp) in zip(made, expected, strict=True):
            np.testing.assert_array_equal(pixels, np.rint(255 * np.stack([blurred, sharp])))


def test_a_process_that_dies_is_told_of(pairs):
    paths = {"datalist": str(pairs), "data_root": str(pairs.parent)}
    config = DataConfig(**paths, crop_size=CROP)
    before = psutil.Process().children()
    with BatchProcesses(config, batch_size=2, seed=0, first=0, last=10**6, processes=1) as made:
        next(made)
        for process in psutil.Process().children():
            if process not in before:
                process.kill()
        with pytest.raises(OSError, match="a process that makes the batches has died"):
            for _ in range(100):
                next(made)


def test_one_channel_models_get_luma(pairs):
    source = PairSource(pairs, pairs.parent, CROP)
    (_, color), (_, luma) = batches(source, 1)[0], batches(source, 1, channels=1)[0]
    assert luma.shape == (2, CROP, CROP, 1)
    expected = 0.2989 * color[..., 0] + 0.5870 * color[..., 1] + 0.1140 * color[..., 2]
    np.testing.assert_allclose(luma[..., 0], expected, atol=1e-6)


def test_a_broken_picture_stops_training_by_name(pairs):
    source = PairSource(pairs, pairs.parent, CROP)
    broken = pairs.parent / "blur/2.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(ValueError) as error:
        batches(source, 5)
    assert str(error.value) == f"{broken}: not a picture that can be read (of no known kind)"


def test_pairs_of_different_size_are_refused_by_line(pairs):
    write_image(pairs.parent / "blur/1.png", np.zeros((40, 44, 3), np.uint8))
    with pytest.raises(ValueError, match=r"list\.txt:4: .*blur/1\.png differ in size"):
        PairSource(pairs, pairs.parent, CROP)


@pytest.mark.parametrize("extension", ["jpg", "png", "tiff", "webp"])
def test_pairs_are_sized_as_they_are_turned(tmp_path, photo, extension):
    """A picture of 40x60 stored lying down fits one of 40x60 that is stored upright."""
    upright, lying = tmp_path / "upright.png", tmp_path / f"lying.{extension}"
    write_image(upright, photo[:60, :40])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(np.rot90(photo[:60, :40])).save(lying, exif=exif)
    kind = read_kind(lying)
    assert (kind.shape, kind.channels) == ((60, 40), 3)
    assert read_rgb(lying).shape == (60, 40, 3)
    (tmp_path / "list.txt").write_text(f"{upright.name} {lying.name}")
    assert len(PairSource(tmp_path / "list.txt", tmp_path, CROP)) == 1


def test_each_header_is_read_once(pairs, monkeypatch):
    opened = []
    original = checks.read_kind
    monkeypatch.setattr(checks, "read_kind", lambda path: opened.append(path) or original(path))
    PairSource(pairs, pairs.parent, CROP)
    assert sorted(opened) == sorted(pairs.parent.glob("*/*.png"))


def test_a_list_with_swapped_columns_is_refused(tmp_path, photo):
    lines = []
    for i in range(3):
        sharp = photo[64 * i : 64 * i + 64, :96]
        write_image(tmp_path / f"sharp/{i}.png", sharp)
        write_image(tmp_path / f"blur/{i}.png", cv2.blur(sharp, (5, 1)))
        lines.append(f"sharp/{i}.png blur/{i}.png")
    file = tmp_path / "list.txt"
    file.write_text("\n".join(lines))
    PairSource(file, tmp_path, CROP)
    # One line of three may be odd; two of three are the list's mistake.
    swapped = [" ".join(reversed(line.split())) for line in lines]
    file.write_text("\n".join([swapped[0], *lines[1:]]))
    PairSource(file, tmp_path, CROP)
    file.write_text("\n".join([*swapped[:2], lines[2]]))
    with pytest.raises(ValueError, match=r"list\.txt:1: the columns look swapped: on 2 of 3 lines"):
        PairSource(file, tmp_path, CROP)


def test_pictures_of_one_channel_are_accepted_and_said(pairs):
    gray = np.full((40, 50), 90, np.uint8)
    Image.fromarray(gray).save(pairs.parent / "sharp/2.png")
    source = PairSource(pairs, pairs.parent, CROP)
    assert source.notes == [
        f"pictures of one channel: 1, as gray RGB; the first: {pairs.parent / 'sharp/2.png'}"
    ]
    _, sharp = source.example(2, np.random.default_rng(0))
    np.testing.assert_array_equal(sharp, np.full((CROP, CROP, 3), 90))
    Image.fromarray(gray).save(pairs.parent / "blur/1.png")
    assert "one channel: 2," in PairSource(pairs, pairs.parent, CROP).notes[0]


def test_a_root_that_is_no_folder_is_one_line(pairs):
    with pytest.raises(ValueError) as refusal:
        PairSource(pairs, pairs.parent / "typo", CROP)
    expected = f"{pairs.parent / 'typo'}: cannot be read as a folder (No such file or directory)"
    assert str(refusal.value) == expected


class OnePair:
    """A source whose sharp crop has four gray corners of different value, the blurred one half."""

    pictures, crop_size, names, content_marks, notes = 2, 2, ["pair"], ["0"], []

    def __len__(self):
        return 1

    def example(self, index, rng):
        sharp = np.array([[40, 80], [120, 160]], np.uint8)[..., np.newaxis].repeat(3, axis=-1)
        return sharp // 2, sharp


def augmented(count, **options):
    source = AugmentedSource(OnePair(), **options)
    return [source.example(0, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize(
    ("options", "positions"), [({"flips": True}, 2), ({"turns": True}, 4), ({}, 1)]
)
def test_flips_and_turns_move_both_pictures_alike(options, positions):
    found = augmented(60, **options)
    assert len({sharp.tobytes() for _, sharp in found}) == positions
    for blurred, sharp in found:
        np.testing.assert_array_equal(blurred, sharp // 2)


def test_flips_mirror_left_to_right_and_both_reach_all_eight_positions():
    mirrored = {tuple(sharp[0, :, 0]) for _, sharp in augmented(60, flips=True)}
    assert mirrored == {(40, 80), (80, 40)}
    assert len({sharp.tobytes() for _, sharp in augmented(200, flips=True, turns=True)}) == 8


def test_noise_is_on_the_blurred_crop_alone_and_of_the_deviation_asked_for():
    class Flat(OnePair):
        crop_size = 64

        def example(self, index, rng):
            return (np.full((64, 64, 3), 128, np.uint8),) * 2

    source = AugmentedSource(Flat(), noise=10.0)
    deviations = []
    for seed in range(200):
        blurred, sharp = source.example(0, np.random.default_rng(seed))
        np.testing.assert_array_equal(sharp, 128)
        assert blurred.mean() == pytest.approx(128, abs=0.6)
        deviations.append(blurred.std())
    # Evenly from 0 to 10.
    assert np.mean(deviations) == pytest.approx(5, abs=0.7)
    assert 9 < max(deviations) < 10.5


def test_jpeg_is_on_half_of_the_blurred_crops_alone_and_keeps_their_colours(photo):
    class Photograph(OnePair):
        def example(self, index, rng):
            return photo[:64, :64], photo[:64, :64]

    def error(quality, seed):
        blurred, sharp = AugmentedSource(Photograph(), jpeg=quality).example(
            0, np.random.default_rng(seed)
        )
        np.testing.assert_array_equal(sharp, photo[:64, :64])
        difference = blurred.astype(float) - sharp
        assert np.abs(difference.mean(axis=(0, 1))).max() < 1.5
        return np.abs(difference).mean()

    errors = [error(60, seed) for seed in range(60)]
    assert 20 <= errors.count(0) <= 40
    assert max(errors) > 1.5 * error(95, int(np.argmax(errors)))


def test_saturation_scales_the_distance_from_gray_of_both_alike():
    class Colored(OnePair):
        def example(self, index, rng):
            return (np.full((2, 2, 3), (150, 100, 110), np.uint8),) * 2

    source = AugmentedSource(Colored(), saturation=0.5)
    luma = 0.2989 * 150 + 0.5870 * 100 + 0.1140 * 110
    spans = []
    for seed in range(200):
        blurred, sharp = source.example(0, np.random.default_rng(seed))
        np.testing.assert_array_equal(blurred, sharp)
        assert sharp[0, 0] @ [0.2989, 0.5870, 0.1140] == pytest.approx(luma, abs=0.5)
        spans.append(np.ptp(sharp[0, 0].astype(int)) / 50)
    assert 0.48 <= min(spans) < 0.55
    assert 1.45 < max(spans) <= 1.52


def test_augmentation_leaves_order_and_crops_as_they_were(pairs):
    source = PairSource(pairs, pairs.parent, CROP)
    noisy = AugmentedSource(source, noise=5.0, saturation=0.0)
    assert examples(noisy, 5) == examples(source, 5)


def seen_at(maps, point):
    """Where each instant of a path sees a point (x, y) of the photograph."""
    places = maps @ np.array([*point, 1.0])
    return places[:, :2] / places[:, 2:]


def farthest(places):
    return np.linalg.norm(places[:, None] - places[None], axis=-1).max()


@pytest.mark.parametrize("extent", [1.0, 9.0, 30.0])
def test_camera_paths_have_their_extent_rest_in_the_middle_and_leave_no_gaps(extent):
    for seed in range(100):
        path = CameraPath(np.random.default_rng(seed), extent, shape=(80, 101))
        assert path.samples % 2 == 1
        maps = path.homographies(path.samples)
        np.testing.assert_allclose(maps[path.samples // 2], np.eye(3), atol=1e-12)
        middle = seen_at(maps, (50, 39.5))
        assert farthest(seen_at(path.homographies(33), (50, 39.5))) == pytest.approx(extent)
        assert np.linalg.norm(np.diff(middle, axis=0), axis=1).max() <= 2
        # At the border roll and zoom add up to half and a quarter of the extent.
        assert farthest(seen_at(maps, (100, 39.5))) <= 2 * extent


def test_short_exposures_see_a_straighter_piece_of_the_same_extent():
    def straightness(exposure):
        """Distance between the ends, as a part of the way between them; 1 is a straight line."""
        parts = []
        for seed in range(100):
            path = CameraPath(np.random.default_rng(seed), 9.0, (80, 101), exposure)
            places = path.offsets(33)[:, :2]
            assert farthest(places) == pytest.approx(9.0)
            way = np.linalg.norm(np.diff(places, axis=0), axis=1).sum()
            parts.append(np.linalg.norm(places[-1] - places[0]) / way)
        return np.mean(parts)

    assert straightness(1.0) < 0.75 and straightness(0.2) > 0.9


def test_a_camera_that_turns_sees_lines_converge():
    path = CameraPath(np.random.default_rng(0), 30.0, shape=(80, 101))
    first = path.homographies(path.samples)[0]
    corners = np.array([[0, 0, 1], [100, 0, 1], [0, 79, 1], [100, 79, 1]]) @ first.T
    top_left, top_right, left, right = corners[:, :2] / corners[:, 2:]
    assert abs(np.linalg.norm(top_left - top_right) - np.linalg.norm(left - right)) > 0.1


def shifts(*along_x):
    """A path of the given shifts, in pixels."""
    maps = np.tile(np.eye(3), (len(along_x), 1, 1))
    maps[:, 0, 2] = along_x
    return maps


def test_blur_is_the_mean_of_the_moved_photograph():
    photo = np.zeros((21, 31, 3), np.uint8)
    photo[:, 15] = 240
    maps = shifts(-4, 0, 4)
    stored = blur_along(photo, maps, linear_light=False)
    np.testing.assert_array_equal(stored[10, [11, 15, 19], 0], 80)
    np.testing.assert_array_equal(stored[10, [12, 14, 16], 0], 0)
    # A third of the light of value 240 is not a third of the value.
    light = blur_along(photo, maps, linear_light=True)
    # The curve of sRGB: above 0.04045, light = ((value + 0.055) / 1.055) ** 2.4.
    third = ((240 / 255 + 0.055) / 1.055) ** 2.4 / 3
    expected = round(255 * (1.055 * third ** (1 / 2.4) - 0.055))
    np.testing.assert_array_equal(light[10, [11, 15, 19], 0], expected)


def test_what_moves_on_its_own_covers_the_rest():
    photo = np.full((21, 31, 3), 30, np.uint8)
    photo[8:13, 13:18] = 210
    mask = (photo[..., 0] == 210).astype(np.float32)
    blurred = blur_along(photo, shifts(0, 0, 0), False, (mask, shifts(-10, 0, 10)))
    # It passes three places; where it stands in the photograph, the camera sees it all the time.
    np.testing.assert_array_equal(blurred[10, [5, 25], 0], 90)
    np.testing.assert_array_equal(blurred[10, 15], 210)
    np.testing.assert_array_equal(blurred[2], 30)


def test_a_window_of_the_blur_is_the_same_as_the_whole(photo):
    path = CameraPath(np.random.default_rng(3), 12.0, photo.shape[:2])
    own = CameraPath(np.random.default_rng(4), 20.0, photo.shape[:2])
    mask = soft_mask(np.random.default_rng(5), photo.shape[:2])
    assert 0.1 < mask.mean() < 0.6 and mask.min() == 0 and mask.max() == 1
    arguments = photo, path.homographies(41), True, (mask, own.homographies(41))
    whole = blur_along(*arguments).astype(int)
    for top, left in ((0, 0), (50, 70), (photo.shape[0] - 40, photo.shape[1] - 60)):
        part = blur_along(*arguments, window=(top, left, 40, 60))
        # OpenCV interpolates at 32nds of a pixel, rounded from another origin.
        assert np.abs(part - whole[top : top + 40, left : left + 60]).max() <= 2


def test_synthetic_examples_are_a_sharp_crop_and_its_blur(tmp_path, photo):
    write_image(tmp_path / "photo.png", photo[:128, :160])
    source = SyntheticSource(tmp_path, crop_size=48, max_blur=8.0)
    blurred, sharp = source.example(0, np.random.default_rng(1))
    windows = np.lib.stride_tricks.sliding_window_view(photo[:128, :160], (48, 48, 3))
    assert (windows == sharp).all(axis=(-1, -2, -3)).sum() == 1
    difference = np.abs(blurred.astype(float) - sharp)
    assert 0.2 < difference.mean() < 30
    again, _ = source.example(0, np.random.default_rng(1))
    np.testing.assert_array_equal(again, blurred)


def test_a_window_that_moves_out_of_the_photograph_sees_its_mirror_image(photo):
    photo = photo[:60, :80]
    for shift in (70.0, -70.0):
        whole = blur_along(photo, shifts(shift, 0, 0), False)
        for left in (0, 64):
            part = blur_along(photo, shifts(shift, 0, 0), False, window=(20, left, 16, 16))
            np.testing.assert_array_equal(part, whole[20:36, left : left + 16])


def test_some_photographs_are_magnified_before_they_are_blurred(tmp_path):
    checkered = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    write_image(tmp_path / "photo.png", np.repeat(checkered[..., None], 3, axis=-1))
    source = SyntheticSource(tmp_path, 16, max_blur=0.0, magnify=3.0)
    steps = []
    for seed in range(20):
        _, sharp = source.example(0, np.random.default_rng(seed))
        steps.append(np.abs(np.diff(sharp[..., 0].astype(int), axis=1)).mean())
    untouched = np.array(steps) == 255
    assert 5 <= untouched.sum() <= 15
    assert max(np.array(steps)[~untouched]) < 250


def test_a_part_of_the_crops_stays_sharp(tmp_path, photo):
    write_image(tmp_path / "photo.png", photo[:64, :64])
    source = SyntheticSource(tmp_path, 32, max_blur=8.0, keep_sharp=0.3)
    pairs = [source.example(0, np.random.default_rng(seed)) for seed in range(100)]
    assert 20 <= sum(np.array_equal(blurred, sharp) for blurred, sharp in pairs) <= 40


def test_parts_out_of_focus_are_so_in_both_pictures(tmp_path, photo, monkeypatch):
    write_image(tmp_path / "photo.png", photo[:96, :96])
    source = SyntheticSource(tmp_path, 96, max_blur=8.0, keep_sharp=0.999, shallow=1.0)
    blurred, sharp = source.example(0, np.random.default_rng(0))
    np.testing.assert_array_equal(blurred, sharp)
    changed = (sharp != photo[:96, :96]).any(-1).mean()
    assert 0.1 < changed < 0.9
    # A point becomes a disc of its light, as large as the radius says.
    monkeypatch.setattr("srn_tf.data.camera.soft_mask", lambda rng, shape: np.ones(shape, "f4"))
    point = np.zeros((31, 31, 3), np.uint8)
    point[15, 15] = 255
    radii = [np.random.default_rng(seed).uniform(1.5, 9.0) for seed in range(20)]
    pictures = [out_of_focus(point, np.random.default_rng(seed)) for seed in range(20)]
    assert 4 < sum(np.array_equal(picture, point) for picture in pictures) < 16
    for radius, picture in zip(radii, pictures, strict=True):
        if np.array_equal(picture, point):  # the other part of the picture
            continue
        light = light_from(picture / 255)
        area = np.pi * radius**2
        assert light[15, 15, 0] == pytest.approx(1 / area, rel=0.1)
        assert light[..., 0].sum() == pytest.approx(1, rel=0.05)
        assert not light[15, 15 + int(np.ceil(radius)) + 1].any()


def test_the_extent_is_drawn_between_two_bounds(tmp_path, photo, monkeypatch):
    write_image(tmp_path / "photo.png", photo[:64, :64])
    extents = []

    def note(photo, rng, extent, *_, **__):
        extents.append(extent)
        return photo[:16, :16]

    monkeypatch.setattr("srn_tf.data.photographs.shake", note)
    source = SyntheticSource(tmp_path, 16, max_blur=8.0, min_blur=6.0)
    for seed in range(100):
        source.example(0, np.random.default_rng(seed))
    assert 6 <= min(extents) < 6.2
    assert 7.8 < max(extents) <= 8


def test_no_blur_leaves_the_photograph_alone(tmp_path, photo):
    write_image(tmp_path / "photo.png", photo[:64, :64])
    blurred, sharp = SyntheticSource(tmp_path, 48, max_blur=0.0).example(
        0, np.random.default_rng(0)
    )
    np.testing.assert_array_equal(blurred, sharp)
