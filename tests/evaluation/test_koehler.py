"""The Köhler protocol on small sets made so that the answer is known."""

import csv

import numpy as np
import pytest

from srn_tf.evaluation import koehler
from srn_tf.evaluation.metrics import ms_ssim
from srn_tf.evaluation.scores import print_table, summarize, write_csv, write_json
from srn_tf.images.rgb import write_image

HEIGHT, WIDTH = 165, 190


@pytest.fixture
def truths(photo):
    """Four sharp pictures; they differ by noise, and all values are multiples of 10."""
    rng = np.random.default_rng(0)
    crop = photo[60 : 60 + HEIGHT, 150 : 150 + WIDTH]
    noisy = [np.clip(crop + rng.normal(0, 25, crop.shape), 0, 240) for _ in range(4)]
    return [np.rint(picture / 10).astype(np.uint8) * 10 for picture in noisy]


def write_set(folder, restored, truths) -> tuple:
    """Writes one picture and its ground truths; gives their paths."""
    write_image(folder / "Blurry2_7.png", restored)
    paths = [folder / f"GroundTruth2_7_{index}.png" for index in range(1, len(truths) + 1)]
    for path, truth in zip(paths, truths, strict=True):
        write_image(path, truth)
    return folder / "Blurry2_7.png", paths


def luma(picture):
    return picture[..., 0] * 0.299 + picture[..., 1] * 0.587 + picture[..., 2] * 0.114


def test_the_truth_the_shift_and_the_scale_are_found(tmp_path, truths):
    """The picture is the third truth, 3 down and 2 left, at 0.9 of its brightness, off by 4."""
    sharp = truths[2].astype(float)
    error = np.random.default_rng(1).choice([-4, 4], sharp.shape)
    restored = np.clip(np.roll(sharp * 0.9, (3, -2), (0, 1)) + error, 0, 255)
    row = koehler.score("x", *write_set(tmp_path, restored.astype(np.uint8), truths))
    assert row["name"] == "x"
    assert row["ground_truth"] == row["ms_ssim_ground_truth"] == "GroundTruth2_7_3.png"
    assert (row["down"], row["right"]) == (-3, 2)

    # The scale is found before the shift is.
    scale = (sharp * restored).sum() / (restored**2).sum()
    assert row["scale"] == pytest.approx(scale)
    # Back in place: the last three rows and the first two columns have no partner.
    x, y = np.zeros((HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH))
    x[:-3, 2:] = luma(sharp)[:-3, 2:]
    y[:-3, 2:] = scale * luma(restored)[3:, :-2]
    expected = 10 * np.log10(255**2 / ((x - y) ** 2).mean())
    assert row["psnr"] == pytest.approx(expected)
    assert row["ms_ssim"] == pytest.approx(ms_ssim(x, y))

    # What other ways of counting would give.
    unregistered = ((luma(sharp) - scale * luma(restored)) ** 2).mean()
    unscaled = ((x - y / scale) ** 2).mean()
    scaled_later = ((x - y / scale / 0.9) ** 2).mean()
    in_colour = ((sharp[:-3, 2:] - scale * restored[3:, :-2]) ** 2).mean()
    for other in (unregistered, unscaled, scaled_later, in_colour):
        assert abs(10 * np.log10(255**2 / other) - expected) > 0.1


def test_psnr_after_the_least_squares_scale_in_closed_form(tmp_path, truths):
    """A gray truth t, and 0.9 (t + e) with e orthogonal to t, in place.

    The scale that fits best is then T / (T + E) / 0.9, and what remains of the mean squares T of t
    and E of e is T E / (T + E).
    """
    gray = np.repeat(np.maximum(truths[0][:, ::2, :1], 10), 2, axis=1).repeat(3, axis=2)
    error = np.where(np.arange(WIDTH) % 2, 10, -10)[:, np.newaxis]  # t is the same at both signs
    restored = (0.9 * (gray + error)).round().astype(np.uint8)
    row = koehler.score("x", *write_set(tmp_path, restored, [gray]))
    truth_power, error_power = (gray.astype(float) ** 2).mean(), 100
    total = truth_power + error_power
    assert (row["down"], row["right"]) == (0, 0)
    assert row["scale"] == pytest.approx(truth_power / total / 0.9)
    remainder = truth_power * error_power / total
    assert row["psnr"] == pytest.approx(10 * np.log10(255**2 / remainder))


def test_psnr_and_ms_ssim_each_take_their_best_truth(tmp_path, truths):
    """Noise costs structure but little PSNR, a slope of brightness costs PSNR but no structure."""
    restored = truths[0] // 2 + np.uint8(60)
    noise = np.random.default_rng(1).choice([-16, 16], (HEIGHT, WIDTH, 1))
    slope = np.linspace(-50, 50, WIDTH)[np.newaxis, :, np.newaxis]
    sharp = [(restored + change).astype(np.uint8) for change in (slope, noise)]
    path, paths = write_set(tmp_path, restored, sharp)
    row = koehler.score("x", path, paths)
    sloping, noisy = (koehler.score("x", path, [truth]) for truth in paths)
    assert sloping["ms_ssim"] > noisy["ms_ssim"] + 0.01
    assert noisy["psnr"] > sloping["psnr"] + 1
    assert (row["psnr"], row["ms_ssim"]) == (noisy["psnr"], sloping["ms_ssim"])
    assert row["ground_truth"] == "GroundTruth2_7_2.png"
    assert row["ms_ssim_ground_truth"] == "GroundTruth2_7_1.png"


def test_ground_truths_are_found_where_the_archives_put_them_in_order(tmp_path):
    for name in (
        *("Image1/Kernel1/GroundTruth1_1_10.png", "Image1/Kernel1/GroundTruth1_1_9.png"),
        *("Image1/Kernel1/GroundTruth1_1_x.png", "Image1/Kernel12/GroundTruth1_12_1.png"),
        *("flat/GroundTruth1_3_29.png", "flat/GroundTruth1_3_30.png", "Blurry1_1.png"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(name):
        return [path.name for path in koehler.ground_truths(tmp_path, name)]

    assert found("Blurry1_1.png") == ["GroundTruth1_1_9.png", "GroundTruth1_1_10.png"]
    assert found("any/Name1_12.jpg") == ["GroundTruth1_12_1.png"]
    # The authors' script passes over frame 30 of this one.
    assert found("Blurry1_3.png") == ["GroundTruth1_3_29.png"]
    with pytest.raises(ValueError, match=r"no ground truths GroundTruth2_1_\*.png, which x2_1.png"):
        koehler.ground_truths(tmp_path, "x2_1.png")


@pytest.mark.parametrize("name", ["a.png", "Blurry5_1.png", "Blurry1_13.png", "Blurry1_0.png"])
def test_names_that_are_not_of_the_set_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}: a name of the Köhler set ends in PICTURE_PATH"):
        koehler.ground_truths(tmp_path, name)


@pytest.mark.parametrize(
    ("restored", "truth", "message"),
    [
        ((170, 170, 9), (170, 171, 9), "Blurry2_7.png: 170x170, but .*2_7_1.png is 171x170"),
        ((170, 170, 9), (170, 170, 0), "GroundTruth2_7_1.png: all black"),
        ((170, 170, 0), (170, 170, 9), "Blurry2_7.png: all black"),
        ((160, 170, 9), (160, 170, 9), "Blurry2_7.png: MS-SSIM needs 161 pixels a side, not 170x1"),
    ],
)
def test_pictures_that_cannot_be_compared_are_named(tmp_path, restored, truth, message):
    pictures = [
        np.full((height, width, 3), value, np.uint8) for height, width, value in (restored, truth)
    ]
    path, paths = write_set(tmp_path, pictures[0], pictures[1:])
    with pytest.raises(ValueError, match=message):
        koehler.score("x", path, paths)


def test_a_set_is_scored_with_a_mean_per_camera_path(tmp_path, truths, capsys):
    pictures = []
    for name in ("Blurry1_2.png", "Blurry1_12.png", "Blurry3_2.png"):
        truth = tmp_path / "truth" / name.replace("Blurry", "GroundTruth").replace(".png", "_1.png")
        write_image(truth, truths[0])
        write_image(tmp_path / "out" / name, truths[len(pictures) + 1])
        pictures.append((name, tmp_path / "out" / name))
    rows, errors = zip(*koehler.evaluate(pictures, tmp_path / "truth"), strict=True)
    assert errors == (None,) * len(pictures)
    assert [row["name"] for row in rows] == [name for name, _ in pictures]

    means = summarize(rows, koehler.trajectory)
    assert [row["name"] for row in means] == ["trajectory 2", "trajectory 12", "mean"]
    assert [row["pictures"] for row in means] == [2, 1, 3]
    assert means[0]["psnr"] == pytest.approx((rows[0]["psnr"] + rows[2]["psnr"]) / 2)
    write_csv(tmp_path / "scores.csv", rows, means)
    write_json(tmp_path / "scores.json", rows, means)
    print_table(rows, means)
    with open(tmp_path / "scores.csv") as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["ground_truth"] == "GroundTruth1_2_1.png"
    assert (lines[-1]["name"], lines[-1]["scale"]) == ("mean", "")
    assert float(lines[-1]["ms_ssim"]) == pytest.approx(means[-1]["ms_ssim"], abs=1e-6)
    assert "trajectory 12" in capsys.readouterr().out


def test_missing_ground_truths_are_noticed_before_the_work_begins(tmp_path, truths):
    path, _ = write_set(tmp_path, truths[0], truths)
    with pytest.raises(ValueError, match="no ground truths GroundTruth4_1_"):
        next(koehler.evaluate([("Blurry2_7.png", path), ("Blurry4_1.png", path)], tmp_path))
