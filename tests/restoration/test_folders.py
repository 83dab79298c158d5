"""Deblurring files through the command, as a user types it."""

import csv
import functools
import json
import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from helpers import SMALL, TESTS, randomize
from PIL import Image

import srn_tf
from srn_tf.checkpoints import archive
from srn_tf.cli import test as command
from srn_tf.evaluation.metrics import psnr
from srn_tf.images.picture import Picture
from srn_tf.images.read import read_picture
from srn_tf.images.rgb import read_rgb, write_image
from srn_tf.images.write import write_picture
from srn_tf.restoration import batch
from srn_tf.restoration.deblurrer import Deblurrer
from srn_tf.restoration.folder import restore_folder
from srn_tf.restoration.jobs import find_jobs


@pytest.fixture(scope="module")
def model():
    """A small network with random weights."""
    model = srn_tf.create_model("color_lstm_residual", **SMALL)
    randomize(model)
    return model


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("folders") / "model.npz"
    archive.save(path, "color_lstm_residual", model)
    return path


# Commands with the same checkpoint and flags share a Deblurrer: its trace takes most of their time.
shared_deblurrer = functools.cache(Deblurrer)


@pytest.fixture
def deblur(tmp_path, checkpoint, capsys, monkeypatch):
    """Runs the command on tmp_path/in; gives its status, what it printed, and its error lines."""

    monkeypatch.setattr("srn_tf.restoration.deblurrer.Deblurrer", shared_deblurrer)

    def run(*flags, input_path="in"):
        source = [] if input_path is None else [f"--input_path={tmp_path / input_path}"]
        words = [*source, f"--output_path={tmp_path / 'out'}", f"--checkpoint={checkpoint}"]
        status = command.main([*words, "--precision=float32", *flags])
        printed = capsys.readouterr()
        return status, printed.out, printed.err.splitlines()

    return run


def written(folder) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.slow
def test_a_folder_is_restored_and_scored(tmp_path, deblur, model, photo):
    sharp = {"a.png": photo[:40, :60], "b.bmp": photo[100:133, 50:98]}
    for name, picture in sharp.items():
        write_image(tmp_path / "sharp" / name, picture)
        write_image(tmp_path / "in" / name, picture // 2)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    write_image(tmp_path / "in" / ".hidden.png", photo[:20, :20])
    status, out, err = deblur(f"--sharp_path={tmp_path / 'sharp'}", "--report")
    assert (status, err) == (0, [])
    files = ["a.png", "b.bmp", "report.html", "scores.csv", "scores.json"]
    assert written(tmp_path / "out") == files
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('"blurred_psnr"') == 2
    with open(tmp_path / "out" / "scores.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a.png", "b.bmp", "mean"]
    expected = {}
    for row in rows[:2]:
        restored = Deblurrer(model).deblur(sharp[row["name"]] // 2)
        np.testing.assert_array_equal(read_rgb(tmp_path / "out" / row["name"]), restored)
        expected[row["name"]] = psnr(sharp[row["name"]], restored)
        assert float(row["psnr"]) == pytest.approx(expected[row["name"]], abs=1e-4)
    assert float(rows[2]["psnr"]) == pytest.approx(np.mean(list(expected.values())), abs=1e-4)
    assert "computing in float32" in out
    assert "pictures deblurred: 2" in out


@pytest.mark.slow
def test_python_restores_a_folder_as_the_command_does(tmp_path, model, photo):
    for i, name in enumerate(("a.png", "b.png")):
        write_image(tmp_path / "in" / name, photo[i : i + 20, :30])
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    jobs = find_jobs(tmp_path / "in", tmp_path / "out", sharp_path=tmp_path / "in")
    deblurrer = Deblurrer(model)
    summary = restore_folder(deblurrer, jobs, tmp_path / "out", report_title="A & B")
    assert (summary.restored, summary.there_before) == (2, 0)
    expected = [
        psnr(sharp, deblurrer.deblur(sharp)) for sharp in (photo[:20, :30], photo[1:21, :30])
    ]
    assert [row["psnr"] for row in summary.scores] == pytest.approx(expected)
    assert summary.means[-1]["psnr"] == pytest.approx(np.mean(expected))
    assert summary.report == tmp_path / "out" / "report.html"
    (error,) = summary.errors
    assert "broken.png: not a picture that can be read" in error
    again = restore_folder(deblurrer, jobs, tmp_path / "out")
    assert (again.restored, again.there_before, again.report) == (0, 2, None)
    assert again.scores == summary.scores


def test_scores_are_those_of_the_picture_as_saved(tmp_path, deblur, photo):
    write_image(tmp_path / "in" / "a.png", photo[:64, :64])
    status, *_ = deblur(f"--sharp_path={tmp_path / 'in'}", "--format=webp", "--quality=5")
    assert status == 0
    saved = psnr(photo[:64, :64], read_rgb(tmp_path / "out" / "a.webp"))
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["mean"]["psnr"] == pytest.approx(saved)


@pytest.mark.slow
def test_bits_gray_alpha_and_metadata_come_back(tmp_path, deblur, photo):
    sixteen = photo[:30, :40].astype(np.uint16) * 257
    write_picture(tmp_path / "in" / "color.png", Picture(sixteen, dpi=(300, 300)))
    write_picture(tmp_path / "in" / "gray.jpg", Picture(photo[:30, :40, 0]))
    write_picture(tmp_path / "in" / "alpha.webp", Picture(np.dstack([photo, photo[..., 0]])))
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera", 6
    Image.fromarray(photo[:30, :40]).save(tmp_path / "in" / "turned.jpg", exif=exif)
    Image.fromarray(photo[:30, :40]).convert("CMYK").save(tmp_path / "in" / "cmyk.jpg")
    status, out, err = deblur()
    assert (status, err) == (0, [])
    assert read_picture(tmp_path / "out" / "color.png").pixels.dtype == np.uint16
    assert read_picture(tmp_path / "out" / "color.png").dpi == pytest.approx((300, 300), abs=0.1)
    assert read_picture(tmp_path / "out" / "gray.jpg").pixels.ndim == 2
    alphas = (
        read_picture(tmp_path / place / "alpha.webp").pixels[..., 3] for place in ("in", "out")
    )
    np.testing.assert_array_equal(*alphas)
    with Image.open(tmp_path / "out" / "turned.jpg") as turned:
        assert turned.size == (30, 40)
        assert dict(turned.getexif()) == {0x010F: "Camera", 0x0112: 1}
    assert "cmyk.jpg: CMYK, converted to RGB" in out


def test_the_format_and_quality_are_those_asked_for(tmp_path, deblur, photo):
    write_image(tmp_path / "in" / "a.png", photo)
    assert deblur("--format=jpg")[0] == 0
    size = (tmp_path / "out" / "a.jpg").stat().st_size
    assert deblur("--format=jpg", "--quality=40", "--overwrite")[0] == 0
    assert (tmp_path / "out" / "a.jpg").stat().st_size < size / 2


# What is taken as input


def make_tree(folder, photo) -> None:
    for i, name in enumerate(("a.png", "deep/b.png", "deep/er/c.jpg", ".hidden/d.png")):
        write_image(folder / name, photo[i : i + 20, :20])


def test_recursive_keeps_the_tree_and_passes_over_hidden_folders_and_results(
    tmp_path, deblur, photo
):
    make_tree(tmp_path / "in", photo)
    assert deblur()[0] == 0
    assert written(tmp_path / "out") == ["a.png"]
    inside = f"--output_path={tmp_path / 'in' / 'out'}"
    for _ in range(2):
        status, out, _ = deblur("--recursive", inside, "--overwrite")
        assert status == 0
        assert "pictures deblurred: 3" in out
    assert written(tmp_path / "in" / "out") == ["a.png", "deep/b.png", "deep/er/c.jpg"]


def test_results_are_not_taken_as_input_by_the_next_run(tmp_path, deblur, photo, monkeypatch):
    make_tree(tmp_path / "in", photo)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "in" / "deep")
    for _ in range(2):
        status, out, err = deblur("--output_path=link/out", input_path="in/**/*.png")
        assert (status, err) == (0, [])
    assert "pictures deblurred: 0" in out
    assert written(tmp_path / "in" / "deep" / "out") == ["a.png", "deep/b.png"]


@pytest.mark.parametrize(
    ("line", "message"),
    [("in", "list.txt:2: 'in' is not the path of a picture"), ("a\0b", "list.txt:2: 'a\\x00b'")],
)
def test_lines_that_are_no_path_are_named(tmp_path, deblur, photo, monkeypatch, line, message):
    make_tree(tmp_path / "in", photo)
    (tmp_path / "list.txt").write_text(f"in/a.png\n{line}\n")
    monkeypatch.chdir(tmp_path)
    status, _, (error,) = deblur(input_path="list.txt")
    assert status == 1
    assert message in error


def test_a_list_of_pairs_cannot_lead_out_of_the_output_folder(tmp_path, deblur, photo):
    for name in ("set/a.png", "other/b.png"):
        write_image(tmp_path / name, photo[:30, :30])
    (tmp_path / "pairs.txt").write_text("a.png ../other/b.png\n")
    flags = [f"--datalist={tmp_path / 'pairs.txt'}", f"--data_root={tmp_path / 'set'}"]
    status, _, (error,) = deblur(*flags, input_path=None)
    assert status == 1
    assert "pairs.txt:1: " in error
    assert "other/b.png is not below" in error


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path, deblur, photo):
    write_image(tmp_path / "in" / "a.png", photo[:20, :20])
    os.mkfifo(tmp_path / "in" / "b.png")
    assert deblur()[0] == 0
    assert written(tmp_path / "out") == ["a.png"]


def test_a_name_with_a_line_break_still_gets_one_line(tmp_path, deblur, photo):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\nb\x1b.png").write_bytes(b"no picture")
    status, _, (error,) = deblur()
    assert status == 1
    assert "a\\nb\\x1b.png: not a picture that can be read (of no known kind)" in error


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("in/deep/*", ["b.png"]),
        ("in/**/*.png", ["a.png", "deep/b.png"]),
        ("in/deep/er/c.jpg", ["c.jpg"]),
        ("list.txt", ["b.png", "er/c.jpg"]),
    ],
)
def test_patterns_files_and_lists_of_paths(tmp_path, deblur, photo, monkeypatch, pattern, names):
    make_tree(tmp_path / "in", photo)
    (tmp_path / "list.txt").write_text("in/deep/b.png\n\nin/deep/er/c.jpg\n")
    monkeypatch.chdir(tmp_path)
    assert deblur(input_path=pattern)[0] == 0
    assert written(tmp_path / "out") == names


def test_a_list_of_pairs_is_restored_and_scored_by_sequence(tmp_path, deblur, photo):
    lines = []
    for i, sequence in enumerate(("one", "one", "two")):
        pair = [f"{sequence}/{kind}/{i}.png" for kind in ("sharp", "blur")]
        write_image(tmp_path / "set" / pair[0], photo[i : i + 30, :30])
        write_image(tmp_path / "set" / pair[1], photo[i : i + 30, :30] // 2)
        lines.append(" ".join(pair))
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    flags = [f"--datalist={tmp_path / 'pairs.txt'}", f"--data_root={tmp_path / 'set'}"]
    assert deblur(*flags, input_path=None)[0] == 0
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [row["name"] for row in scores["pictures"]] == [line.split()[1] for line in lines]
    assert [(s["name"], s["pictures"]) for s in scores["sequences"]] == [("one", 2), ("two", 1)]
    sharp, restored = (
        read_rgb(p) for p in (tmp_path / "set/two/sharp/2.png", tmp_path / "out/two/blur/2.png")
    )
    assert scores["sequences"][1]["psnr"] == pytest.approx(psnr(sharp, restored))


def test_koehlers_benchmark_takes_the_best_of_all_ground_truths(tmp_path, deblur, photo):
    crop = photo[:200, :200]
    write_image(tmp_path / "in" / "Blurry1_1.png", crop)
    for frame, shift in enumerate((9, 2), start=1):
        moved = np.roll(photo, shift, axis=0)[:200, :200]
        write_image(tmp_path / "truth" / f"GroundTruth1_1_{frame}.png", moved // frame)
    status, _, err = deblur(f"--koehler_path={tmp_path / 'truth'}")
    assert (status, err) == (0, [])
    (row,) = json.loads((tmp_path / "out" / "scores.json").read_text())["pictures"]
    assert row["psnr"] > 10
    (tmp_path / "in" / "Blurry1_2.png").write_bytes((tmp_path / "in/Blurry1_1.png").read_bytes())
    status, _, err = deblur(f"--koehler_path={tmp_path / 'truth'}", "--overwrite")
    assert status == 1
    assert "Blurry1_2" in err[0]


# Never a lost picture


@pytest.mark.long
def test_bad_files_are_named_and_the_others_go_on(tmp_path, checkpoint, photo):
    write_image(tmp_path / "in" / "good.png", photo[:20, :20])
    write_image(tmp_path / "in" / "huge.png", photo)
    whole = (tmp_path / "in" / "good.png").read_bytes()
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "in" / "empty.jpg").touch()
    (tmp_path / "in" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "misnamed.jpg").write_bytes(whole)
    (tmp_path / "in" / "gone.png").symlink_to("nowhere.png")
    # A process of its own: what libraries print while they start and read must not show either.
    result = subprocess.run(
        [
            *(sys.executable, "test.py"),
            f"--input_path={tmp_path / 'in'}",
            f"--output_path={tmp_path / 'out'}",
            f"--checkpoint={checkpoint}",
            "--precision=float32",
            "--max_megapixels=0.1",
        ],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert written(tmp_path / "out") == ["good.png"]
    last = f"pictures deblurred: 1, in {tmp_path / 'out'}"
    assert result.stdout.splitlines() == ["computing in float32", last]
    reasons = {
        "broken.png": "of no known kind",
        "cut.png": "not a picture that can be read",
        "empty.jpg": "the file is empty",
        "gone.png": "No such file or directory",
        "huge.png": "512x512 is 0.2621 megapixels, and the limit is 0.1",
        "misnamed.jpg": "its content is PNG, which its name does not say",
    }
    errors = result.stderr.splitlines()
    assert len(errors) == len(reasons)
    for (name, reason), line in zip(sorted(reasons.items()), errors, strict=True):
        assert line.startswith("srn-test: ")
        assert str(tmp_path / "in" / name) in line
        assert reason in line


def test_finished_files_are_skipped_unless_overwritten(tmp_path, deblur, photo):
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "in" / name, photo[:20, :20])
    write_image(tmp_path / "out" / "a.png", photo[:20, :20])
    status, out, _ = deblur(f"--sharp_path={tmp_path / 'in'}")
    assert status == 0
    assert "pictures deblurred: 1" in out
    assert "there before: 1" in out
    np.testing.assert_array_equal(read_rgb(tmp_path / "out" / "a.png"), photo[:20, :20])
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [row["name"] for row in scores["pictures"]] == ["a.png", "b.png"]
    assert "pictures deblurred: 2" in deblur("--overwrite")[1]
    assert (read_rgb(tmp_path / "out" / "a.png") != photo[:20, :20]).any()


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_an_input_is_never_overwritten_not_even_through_a_link(tmp_path, deblur, photo, link):
    write_image(tmp_path / "in" / "a.png", photo[:20, :20])
    content = (tmp_path / "in" / "a.png").read_bytes()
    (tmp_path / "out").mkdir()
    link(tmp_path / "in" / "a.png", tmp_path / "out" / "a.png")
    status, _, (line,) = deblur("--overwrite")
    assert status == 1
    assert "out/a.png: is a picture to read, and would be overwritten" in line
    assert (tmp_path / "in" / "a.png").read_bytes() == content


def test_two_pictures_never_become_one(tmp_path, deblur, photo):
    for name in ("a.png", "a.bmp"):
        write_image(tmp_path / "in" / name, photo[:20, :20])
    status, _, (line,) = deblur("--format=webp")
    assert status == 1
    assert "would both become" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "--input_path is needed"),
        (
            {"input_path": "{}", "output_path": "{}/out", "checkpoint": "{}/none"},
            "none: no such checkpoint",
        ),
        (
            {"input_path": "{}/no", "output_path": "{}/out", "checkpoint": "{}/model.npz"},
            "no: no such file or folder",
        ),
        (
            {"input_path": "{}/no*", "output_path": "{}/out", "checkpoint": "{}/model.npz"},
            "no*: no pictures of this pattern",
        ),
        (
            {"input_path": "{}", "output_path": "{}", "checkpoint": "{}/model.npz"},
            "is the folder of the input; choose another",
        ),
        (
            {
                "input_path": "{}/a.png",
                "output_path": "{}/s",
                "sharp_path": "{}/s",
                "checkpoint": "{}/model.npz",
            },
            "s/a.png: is a picture to read, and would be overwritten",
        ),
        (
            {
                "input_path": "{}/a.png",
                "output_path": "{}/out",
                "sharp_path": "{}/none",
                "checkpoint": "{}/model.npz",
            },
            "none: no such folder of sharp pictures",
        ),
        (
            {"input_path": "{}/a.png", "output_path": "{}/a.png", "checkpoint": "{}/model.npz"},
            "a.png: is a picture to read, and would be overwritten",
        ),
        (
            {
                "input_path": "{}/a.png",
                "output_path": "{}/o",
                "checkpoint": "{}/model.npz",
                "tile": "100",
            },
            "tile must be at least 256 pixels, not 100",
        ),
        (
            {"datalist": "x", "output_path": "o", "checkpoint": "c", "sharp_path": "s"},
            "--sharp_path has no part beside --datalist",
        ),
        (
            {"input_path": "x", "output_path": "o", "checkpoint": "c", "blur_length": "9"},
            "--blur_length has no part beside a network",
        ),
        (
            {"input_path": "x.mp4", "output_path": "o", "checkpoint": "c", "report": "true"},
            "--report has no part beside a video",
        ),
        (
            {
                "input_path": "x",
                "output_path": "o",
                "model": "wiener",
                "blur_length": "9",
                "blur_angle": "0",
                "precision": "float32",
            },
            "--precision has no part beside --model wiener",
        ),
    ],
)
def test_mistakes_get_one_clear_line(tmp_path, checkpoint, photo, capsys, flags, message):
    write_image(tmp_path / "a.png", photo[:16, :16])
    write_image(tmp_path / "s" / "a.png", photo[:16, :16])
    words = [f"--{name}={value.format(tmp_path)}" for name, value in flags.items()]
    assert command.main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("srn-test: ")
    assert message in line


def test_pictures_too_small_for_ssim_and_too_long_for_their_format_are_named(
    tmp_path, deblur, photo
):
    write_image(tmp_path / "in" / "small.png", photo[:8, :20])
    write_image(tmp_path / "in" / "whole.png", photo[:20, :20])
    cv2.imwrite(str(tmp_path / "in" / "long.png"), np.zeros((1, 17000, 3), np.uint8))
    # WebP ends at 16383 pixels.
    status, _, err = deblur(f"--sharp_path={tmp_path / 'in'}", "--format=webp", "--report")
    assert status == 1
    long, small = err
    assert "long.webp: a picture of 17000x1 cannot be written in this format" in long
    assert "small.png: SSIM needs 11 pixels a side, not 20x8" in small
    files = ["report.html", "scores.csv", "scores.json", "small.webp", "whole.webp"]
    assert written(tmp_path / "out") == files
    assert "small.webp" in (tmp_path / "out" / "report.html").read_text()  # without scores
    with open(tmp_path / "out" / "scores.csv") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["whole.webp", "mean"]


# Overlap


class Doubler:
    """Stands in for the network where only the order of the work matters."""

    def __init__(self):
        self.batches = []

    def deblur_batch(self, images, on_tile):
        on_tile(1, len(images))
        self.batches.append(len(images))
        return images // 2


def make_jobs(tmp_path, photo, sizes) -> list:
    for i, size in enumerate(sizes):
        write_image(tmp_path / "in" / f"{i:02}.png", photo[:size, i : i + 20])
    return find_jobs(tmp_path / "in", tmp_path / "out")


def test_pictures_of_equal_size_go_in_batches_and_none_is_mixed_up(tmp_path, photo):
    jobs, doubler = make_jobs(tmp_path, photo, [20, 20, 20, 30, 30, 20, 20]), Doubler()
    told = []

    def on_tile(*counts):
        told.append(counts)

    results = list(batch.deblur_files(doubler, jobs, batch_size=2, on_tile=on_tile))
    assert doubler.batches == [2, 1, 2, 2]
    assert told == [(1, count) for count in doubler.batches]
    assert [result.job for result in results] == jobs
    for i, job in enumerate(jobs):
        expected = read_rgb(job.source)[:, :20] // 2
        np.testing.assert_array_equal(read_rgb(job.target), expected, err_msg=f"picture {i}")


def test_large_pictures_go_alone(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(batch, "BATCH_PIXELS", 2 * 20 * 20)
    doubler = Doubler()
    assert len(
        list(batch.deblur_files(doubler, make_jobs(tmp_path, photo, [20] * 4), batch_size=4))
    )
    assert doubler.batches == [2, 2]


def test_pictures_of_other_bits_do_not_share_a_batch(tmp_path, photo):
    write_image(tmp_path / "in" / "a.png", photo[:20, :20])
    write_picture(tmp_path / "in" / "b.png", Picture(photo[:20, :20].astype(np.uint16)))
    doubler, jobs = Doubler(), find_jobs(tmp_path / "in", tmp_path / "out")
    assert all(result.restored for result in batch.deblur_files(doubler, jobs, batch_size=2))
    assert doubler.batches == [1, 1]
    assert read_picture(tmp_path / "out" / "a.png").pixels.dtype == np.uint8


def test_reading_and_writing_go_on_while_the_network_computes(tmp_path, photo, monkeypatch):
    """The second picture is read, and the first one written, while the network has the other."""
    jobs = make_jobs(tmp_path, photo, [20] * 3)
    second_is_read, first_is_written = threading.Event(), threading.Event()

    def read(path, limit, read=batch.read_picture):
        picture = read(path, limit)
        if path == jobs[1].source:
            second_is_read.set()
        return picture

    def write(path, *rest, write=batch.write_picture):
        notes = write(path, *rest)
        if path == jobs[0].target:
            first_is_written.set()
        return notes

    class Waiting(Doubler):
        def deblur_batch(self, images, on_tile):
            event = (second_is_read, first_is_written, threading.Event())[len(self.batches)]
            assert len(self.batches) == 2 or event.wait(10)
            return super().deblur_batch(images, on_tile)

    monkeypatch.setattr(batch, "read_picture", read)
    monkeypatch.setattr(batch, "write_picture", write)
    results = list(batch.deblur_files(Waiting(), jobs))
    assert [result.error for result in results] == [None] * 3


def test_a_full_disk_ends_the_run(tmp_path, photo, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch, "write_picture", full)
    doubler = Doubler()
    with pytest.raises(OSError, match="No space left"):
        list(batch.deblur_files(doubler, make_jobs(tmp_path, photo, [20] * 20)))
    assert len(doubler.batches) < 20
    assert written(tmp_path / "out") == []
