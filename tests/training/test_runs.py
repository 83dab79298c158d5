"""The run folder: what is kept of a run, validation, the best network, fine-tuning, curves."""

import dataclasses
import hashlib
import json
import shlex
import shutil
import sys

import cv2
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from helpers import LEAST, changed, configuration, eagerly, metrics, write_tf1_checkpoint
from reference import recipe_weights, variables_by_stored_name

import srn_tf
from srn_tf.checkpoints import archive, places
from srn_tf.cli import plot
from srn_tf.cli import train as command
from srn_tf.data.config import DataConfig
from srn_tf.data.examples import fingerprint
from srn_tf.data.photographs import SyntheticSource
from srn_tf.data.sources import create_source
from srn_tf.evaluation.metrics import psnr
from srn_tf.images.rgb import read_rgb, write_image
from srn_tf.networks.configs import model_config
from srn_tf.restoration.deblurrer import Deblurrer
from srn_tf.training.curves import plot_runs
from srn_tf.training.loop import train
from srn_tf.training.run_folder import RunFolder
from srn_tf.training.validation import Validation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs to train on, and others held out."""
    folder = tmp_path_factory.mktemp("runs")
    photo = skimage.data.astronaut()
    for i in range(3):
        write_image(folder / "photos" / f"{i}.png", photo[64 * i : 64 * i + 64, :96])
        write_image(folder / "held_out" / f"{i}.png", photo[64 * i : 64 * i + 64, 256:352])
    return folder


@pytest.fixture(scope="module")
def config(folder):
    held_out = DataConfig(sharp_path=str(folder / "held_out"), max_blur=4.0, crop_size=32)
    return configuration(sharp_path=str(folder / "photos"), validation=held_out, ema=0.9)


@pytest.fixture(scope="module")
def said():
    return []


@pytest.fixture(scope="module")
def run(folder, config, said):
    """A run of six steps, validated in steps 2, 4 and 6."""
    options = {"validate_every": 2, "log_every": 2, "log": said.append}
    train(config, folder / "run", **options)
    return folder / "run"


@pytest.mark.slow
def test_each_step_has_its_numbers(run, config):
    assert [row["step"] for row in metrics(run)] == [1, 2, 3, 4, 5, 6]
    for row in metrics(run):
        assert len(row["loss_per_scale"]) == config.network.scales
        assert sum(row["loss_per_scale"]) == pytest.approx(row["loss"], rel=1e-6)
        assert row["gradient_norm"] > 0
        assert 0 <= row["waiting"] < config.batch_size / row["pairs_per_second"]


@pytest.mark.slow
def test_validation_scores_every_held_out_picture_once_with_the_averages(run, folder):
    """Anew, from the checkpoint, as a user would compare."""
    assert ["validation_psnr" in row for row in metrics(run)] == [False, True] * 3
    held_out = SyntheticSource(str(folder / "held_out"), 32, max_blur=4.0)
    scores, pictures = Validation(
        held_out, Deblurrer(srn_tf.load_model(run)).deblur_batch, seed=0
    ).run()
    assert scores["psnr"] == pytest.approx(metrics(run)[-1]["validation_psnr"], abs=1e-3)
    assert scores["ssim"] == pytest.approx(metrics(run)[-1]["validation_ssim"], abs=1e-5)
    assert scores["gain"] == pytest.approx(metrics(run)[-1]["validation_gain"], abs=1e-3)
    # Blurred, restored and sharp side by side, a crop a row.
    shown = read_rgb(run / "validation" / "step_00000006.png")
    assert shown.shape == (3 * 32, 3 * 32, 3)
    np.testing.assert_array_equal(shown[:, :32], pictures[:, :32])
    blurred, ours, sharp = np.split(shown, 3, axis=1)
    crops = [np.s_[top : top + 32] for top in (0, 32, 64)]
    blurs = [crop for crop in crops if np.any(blurred[crop] != sharp[crop])]
    assert np.mean([psnr(sharp[crop], ours[crop]) for crop in blurs]) == pytest.approx(
        metrics(run)[-1]["validation_psnr"]
    )
    # Each held-out photograph is where one of the sharp crops comes from.
    photos = [read_rgb(path) for path in held_out.paths]
    found = [
        [cv2.matchTemplate(photo, sharp[crop], cv2.TM_SQDIFF).min() < 1e4 for photo in photos]
        for crop in crops
    ]
    np.testing.assert_array_equal(np.sum(found, axis=0), 1)


class _OneOfThreeIsSharp:
    """Three gray crops, two of them darker by 8 and 16 levels than their sharp ones."""

    crop_size, pictures, names, content_marks = 16, 2, ["0", "1", "2"], ["0", "1", "2"]

    def __len__(self):
        return 3

    def example(self, index, rng):
        sharp = np.full((16, 16, 3), 100, np.uint8)
        return sharp - np.uint8(8 * index), sharp


def test_a_sharp_crop_that_is_spoiled_does_not_raise_the_mean():
    def spoil(blurred):  # half of the darkness goes, and the sharp crop is one level off
        return np.where(blurred == 100, 101, (100 + blurred.astype(int)) // 2).astype(np.uint8)

    scores, _ = Validation(_OneOfThreeIsSharp(), spoil, seed=0).run()
    twice = 20 * np.log10(2)  # dB of half the error
    assert scores["gain"] == pytest.approx(twice)
    assert scores["psnr"] == pytest.approx(20 * np.log10(255 / np.sqrt(4 * 8)))


def test_the_best_network_is_kept(run, said):
    scores = {
        row["step"]: row["validation_psnr"] for row in metrics(run) if "validation_psnr" in row
    }
    best = max(scores, key=scores.get)
    header, _ = archive.read(run / "best.npz")
    assert (header["step"], header["validation"]["psnr"]) == (best, scores[best])
    # It is what anyone can load, and only better ones replace it.
    assert srn_tf.load_model(run / "best.npz").count_params() > 0
    announced = [line for line in said if line.endswith("the best so far")]
    assert announced[-1].startswith(f"step {best}: validation PSNR {scores[best]:.2f} dB")


def test_worse_networks_do_not_replace_the_best(run, config, folder, model):
    source = create_source(config.data)
    keeper = RunFolder(config, source, run, resume=True)
    content = (run / "best.npz").read_bytes()
    data = archive.read(run / "best.npz")[0]["validation"]["data"]
    assert not keeper.save_best(model, 8, {"psnr": 1.0, "ssim": 0.1, "data": data})
    assert (run / "best.npz").read_bytes() == content


def test_the_folder_says_how_the_run_was_started(run):
    (start,) = [json.loads(line) for line in (run / "starts.jsonl").read_text().splitlines()]
    assert start["step"] == 0
    assert start["command"] == shlex.join(sys.argv)
    assert {"srn_tf", "python", "tensorflow", "keras"} <= start["versions"].keys()
    assert start["devices"] == "1 CPU"


def test_tensorboard_has_the_numbers_and_pictures(run):
    tags = {}
    for path in run.glob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                tags.setdefault(value.tag, []).append(event.step)
    scalars = ("loss", "loss_per_scale/0", "loss_per_scale/1", "gradient_norm", "lr")
    for tag in (*scalars, "pairs_per_second", "waiting", "validation_psnr", "validation"):
        assert tags[tag] == [2, 4, 6]
    assert tags["training"] == [6]


@eagerly()
@pytest.mark.slow
def test_fine_tuning_starts_with_the_weights_of_the_checkpoint(tmp_path, config, run):
    tuned = dataclasses.replace(config, init_from=str(run), lr=1e-12, end_lr=1e-12, max_steps=1)
    train(tuned, tmp_path / "tuned", log=lambda _: None)
    _, before = archive.read(places.find(run))
    _, after = archive.read(places.find(tmp_path / "tuned"))
    for name in before:
        if name.startswith("model/"):
            np.testing.assert_allclose(after[name], before[name], atol=1e-9)
    # A restart takes what was learnt since, though that checkpoint be gone.
    said = []
    gone = dataclasses.replace(tuned, init_from=str(tmp_path / "gone"))
    with pytest.raises(ValueError, match="another configuration: init_from"):
        train(gone, tmp_path / "tuned", resume=True)
    train(tuned, tmp_path / "tuned", resume=True, log=said.append)
    assert said[0] == "resuming at step 1"


@pytest.mark.long
@eagerly()
def test_fine_tuning_starts_with_the_authors_weights(tmp_path, folder):
    _, weights = recipe_weights("gray")
    write_tf1_checkpoint(tmp_path / "deblur.model-523000", weights, training_state=True)
    flags = {
        "model": "gray",
        "init_from": tmp_path / "deblur.model-523000",
        "sharp_path": folder / "photos",
        "crop_size": 16,
        "batch_size": 1,
        "max_steps": 1,
        "lr": 1e-12,
        "end_lr": 1e-12,
        "run_dir": tmp_path / "run",
    }
    assert command.main([f"--{name}={value}" for name, value in flags.items()]) == 0
    variables = variables_by_stored_name(srn_tf.load_model(tmp_path / "run"))
    assert variables.keys() == weights.keys()
    for name, variable in variables.items():
        np.testing.assert_allclose(variable, weights[name], atol=1e-9)


@pytest.mark.slow
def test_fine_tuning_from_another_network_is_refused(tmp_path, config, run):
    other = dataclasses.replace(config, model="color", network=model_config("color", **LEAST))
    other = dataclasses.replace(other, init_from=str(run))
    with pytest.raises(ValueError, match="holds a model color_lstm, not color"):
        train(other, tmp_path / "other")
    wider = model_config("color_lstm", **{**LEAST, "widths": (4, 10)})
    wider = dataclasses.replace(config, network=wider, init_from=str(run))
    with pytest.raises(ValueError, match=r"its widths is \(4, 6\), not \(4, 10\)"):
        train(wider, tmp_path / "wider")


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(folder, config):
    run_dir = folder / "photos" / "0.png" / "run"
    with pytest.raises(ValueError, match=r"0\.png/run: cannot be written \(Not a directory\)"):
        train(config, run_dir, log=lambda _: None)


def test_what_cannot_start_leaves_no_folder_behind(tmp_path, config):
    missing = dataclasses.replace(config, init_from=str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="missing: no such checkpoint"):
        train(missing, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_curves_of_runs_are_drawn(run, tmp_path, capsys):
    picture = tmp_path / "curves.png"
    assert plot.main([str(run), str(run), f"--output_path={picture}"]) == 0
    assert capsys.readouterr().out == f"drawn in {picture}\n"
    drawn = read_rgb(picture)
    assert drawn.shape == (800, 1500, 3)
    # Each of the six panels has a line in the first colour of Matplotlib.
    blue = np.all(drawn == (31, 119, 180), axis=-1)
    for rows_of in np.array_split(blue[:750], 2, axis=0):
        for panel in np.array_split(rows_of, 3, axis=1):
            assert panel.sum() > 50


def test_a_folder_without_metrics_is_not_drawn(tmp_path):
    with pytest.raises(ValueError, match=r"metrics\.jsonl: no metrics of a run"):
        plot_runs([tmp_path], tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


@eagerly()
@pytest.mark.slow
def test_a_folder_that_another_process_trains_in_is_refused(tmp_path, config):
    source = create_source(config.data)
    with RunFolder(config, source, tmp_path / "run", resume=False):
        for resume in (False, True):
            with pytest.raises(ValueError, match="run: another process trains in this folder"):
                train(config, tmp_path / "run", resume=resume, log=lambda _: None)
    train(dataclasses.replace(config, max_steps=1), tmp_path / "run", log=lambda _: None)


@eagerly()
@pytest.mark.slow
def test_a_picture_of_the_same_name_that_is_another_one_is_other_data(tmp_path, config, folder):
    photos = tmp_path / "photos"
    shutil.copytree(folder / "photos", photos)
    write_image(photos / "1.bmp", image := read_rgb(photos / "1.png"))  # of one size, always
    config = changed(config, sharp_path=str(photos), max_steps=1)
    train(config, tmp_path / "run", log=lambda _: None)
    train(config, tmp_path / "run", resume=True, log=lambda _: None)
    write_image(photos / "1.bmp", 255 - image // 2)
    with pytest.raises(ValueError, match="a run on other data"):
        train(config, tmp_path / "run", resume=True, log=lambda _: None)


def test_runs_that_marked_their_data_by_size_alone_go_on(tmp_path, config):
    source = create_source(config.data)
    lines = "".join(f"{path.stat().st_size} {path.name}\n" for path in source.paths)
    old = {"examples": 3, "sha256": hashlib.sha256(lines.encode()).hexdigest()}
    assert fingerprint(source, sizes_alone=True) == old != fingerprint(source)


@eagerly()
@pytest.mark.slow
def test_missing_steps_in_the_metrics_are_told(tmp_path, config):
    config = dataclasses.replace(config, max_steps=3)
    train(config, tmp_path / "run", log=lambda _: None)
    path = tmp_path / "run" / "metrics.jsonl"
    first, _, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\xff\n" + last)
    lines = []
    train(config, tmp_path / "run", resume=True, log=lines.append)
    assert f"{path}: has 2 of the 3 steps so far" in lines
    assert path.read_bytes() == first + last


@eagerly()
@pytest.mark.slow
def test_a_validation_that_fails_loses_no_step(tmp_path, config, monkeypatch):
    def fail(_):
        raise ValueError("held-out picture: gone")

    monkeypatch.setattr(Validation, "run", fail)
    with pytest.raises(ValueError, match="held-out picture: gone"):
        train(
            dataclasses.replace(config, max_steps=4),
            tmp_path / "run",
            validate_every=2,
            log=lambda _: None,
        )
    assert [path.name for path in places.in_run(tmp_path / "run")] == ["step_00000002.npz"]
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("line", [b"12", b'{"loss": 1}', b'{"step": "a"}', b"\xff"])
@pytest.mark.slow
def test_curves_of_damaged_metrics_are_refused_with_the_line(tmp_path, line):
    row = b'{"step": 1, "loss": 0.5}\n'
    (tmp_path / "metrics.jsonl").write_bytes(row + line + b"\n" + row)
    with pytest.raises(ValueError, match=r"metrics\.jsonl:2: not a line of metrics"):
        plot_runs([tmp_path], tmp_path / "curves.png")
    (tmp_path / "metrics.jsonl").write_bytes(row + line)  # the last line may be half written
    plot_runs([tmp_path], tmp_path / "curves.png")


def test_curves_need_a_name_that_says_their_format_and_may_be_of_any_folder(tmp_path):
    folder = tmp_path / "a$\\bad$"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    with pytest.raises(ValueError, match=r"curves: the name must end in one of .*\.png"):
        plot_runs([folder], tmp_path / "curves")
    plot_runs([folder], tmp_path / "curves.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a$\\bad$", "curves.png"]
