"""The numbers of PSNR and SSIM against independent computations, and what is made of them."""

import csv
import json

import numpy as np
import pytest
import skimage.metrics
from scipy.ndimage import convolve

from srn_tf.evaluation.metrics import ms_ssim, psnr, ssim, ssim_luma, ssim_matlab3d
from srn_tf.evaluation.scores import print_table, score, summarize, write_csv, write_json
from srn_tf.images.rgb import read_rgb, write_image

C1, C2 = 6.5025, 58.5225  # (0.01 * 255)^2 and (0.03 * 255)^2


def window(axes: int) -> np.ndarray:
    """Gaussian weights of sigma 1.5, 11 wide along each axis, with sum 1."""
    offsets = np.meshgrid(*[np.arange(-5, 6)] * axes)
    weights = np.exp(-sum(offset**2 for offset in offsets) / (2 * 1.5**2))
    return weights / weights.sum()


def window_statistics(x, y):
    """Means, variances and covariance, by their definition, in every window inside x and y."""
    weights = window(x.ndim)
    axes = tuple(range(x.ndim, 2 * x.ndim))
    x = np.lib.stride_tricks.sliding_window_view(x.astype(float), weights.shape)
    y = np.lib.stride_tricks.sliding_window_view(y.astype(float), weights.shape)
    mx = (weights * x).sum(axes, keepdims=True)
    my = (weights * y).sum(axes, keepdims=True)
    sxx = (weights * (x - mx) ** 2).sum(axes)
    syy = (weights * (y - my) ** 2).sum(axes)
    sxy = (weights * (x - mx) * (y - my)).sum(axes)
    return mx.reshape(sxx.shape), my.reshape(sxx.shape), sxx, syy, sxy


def ssim_by_windows(x, y) -> float:
    mx, my, sxx, syy, sxy = window_statistics(x, y)
    values = (2 * mx * my + C1) * (2 * sxy + C2) / ((mx**2 + my**2 + C1) * (sxx + syy + C2))
    return values.mean()


@pytest.fixture
def pictures(photo):
    """A sharp and a noisy picture, small and not square."""
    sharp = photo[200:224, 200:230]
    noise = np.random.default_rng(0).normal(0, 20, sharp.shape)
    return sharp, np.clip(sharp + noise, 0, 255).astype(np.uint8)


def test_psnr_of_a_known_error():
    sharp = np.full((16, 16, 3), 100, np.uint8)
    assert psnr(sharp, sharp + np.uint8(5)) == pytest.approx(20 * np.log10(255 / 5))
    assert psnr(sharp, sharp) == float("inf")


def test_ssim_is_the_mean_over_the_channels_of_windows_inside(pictures):
    channels = [ssim_by_windows(*(picture[..., c] for picture in pictures)) for c in range(3)]
    assert ssim(*pictures) == pytest.approx(np.mean(channels), abs=1e-9)


def test_ssim_is_that_of_scikit_image(pictures):
    expected = skimage.metrics.structural_similarity(
        *pictures, channel_axis=-1, gaussian_weights=True, use_sample_covariance=False
    )
    assert ssim(*pictures) == pytest.approx(expected, abs=1e-9)


def test_ssim_luma_rounds_the_luma_and_repeats_edges(pictures):
    lumas = []
    for picture in pictures:
        red, green, blue = np.moveaxis(picture.astype(float), -1, 0)
        luma = np.floor(0.2989 * red + 0.5870 * green + 0.1140 * blue + 0.5)
        lumas.append(np.pad(luma, 5, mode="edge"))
    assert ssim_luma(*pictures) == pytest.approx(ssim_by_windows(*lumas), abs=1e-9)


def test_ssim_matlab3d_takes_the_channels_as_a_third_axis_and_repeats_edges(pictures):
    padded = [np.pad(picture, 5, mode="edge") for picture in pictures]
    assert ssim_matlab3d(*pictures) == pytest.approx(ssim_by_windows(*padded), abs=1e-9)


def low_pass() -> np.ndarray:
    """The low-pass analysis filter of the biorthogonal 9/7 wavelet, from its lifting steps.

    With the steps of Daubechies and Sweldens, "Factoring wavelet transforms into lifting steps"
    (1998), on a unit impulse at each of nine places around an even sample.
    """
    taps = []
    for place in range(28, 37):
        signal = np.zeros(64)
        signal[place] = 1
        even, odd = signal[::2], signal[1::2]
        odd = odd - 1.586134342059924 * (even + np.roll(even, -1))
        even = even - 0.052980118572961 * (odd + np.roll(odd, 1))
        odd = odd + 0.882911075530934 * (even + np.roll(even, -1))
        even = even + 0.443506852043971 * (odd + np.roll(odd, 1))
        taps.append(even[16])
    return np.array(taps) / np.sum(taps)


def test_ms_ssim_follows_its_definition(photo):
    """Five scales by explicit windows, each halved behind the low-pass filter, edges mirrored."""
    x = photo[100:261, 100:290] @ np.array([0.299, 0.587, 0.114])
    y = 0.8 * x + np.random.default_rng(0).normal(0, 15, x.shape)
    expected, arguments = 1.0, (x, y)
    for scale, exponent in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if scale > 0:
            kernel = np.outer(low_pass(), low_pass())
            x, y = (convolve(values, kernel, mode="reflect")[::2, ::2] for values in (x, y))
        mx, my, sxx, syy, sxy = window_statistics(x, y)
        contrast = (2 * np.sqrt(sxx * syy) + C2) / (sxx + syy + C2)
        structure = (sxy + C2 / 2) / (np.sqrt(sxx * syy) + C2 / 2)
        expected *= contrast.mean() ** exponent * structure.mean() ** exponent
    expected *= ((2 * mx * my + C1) / (mx**2 + my**2 + C1)).mean() ** 0.1333
    assert x.shape == (11, 12)
    assert 0.5 < expected < 0.95
    assert ms_ssim(*arguments) == pytest.approx(expected, abs=1e-6)


def test_ms_ssim_of_flat_equal_and_opposite_pictures():
    flat = np.full((161, 161), 50.0)
    luminance = (2 * 50 * 100 + C1) / (50**2 + 100**2 + C1)
    assert ms_ssim(flat, 2 * flat) == pytest.approx(luminance**0.1333)
    noise = np.random.default_rng(0).normal(128, 20, (161, 161))
    assert ms_ssim(noise, noise) == pytest.approx(1)
    assert ms_ssim(noise, 256 - noise) == 0


def test_pictures_too_small_for_the_window_are_refused():
    small = np.zeros((10, 20, 3), np.uint8)
    for metric in (ssim, ssim_luma, ssim_matlab3d):
        with pytest.raises(ValueError, match="SSIM needs 11 pixels a side, not 20x10"):
            metric(small, small)
    with pytest.raises(ValueError, match="MS-SSIM needs 161 pixels a side, not 200x160"):
        ms_ssim(np.zeros((160, 200)), np.zeros((160, 200)))


def test_score_is_of_the_pictures_as_saved(tmp_path, pictures):
    sharp, noisy = pictures
    write_image(tmp_path / "sharp.png", sharp)
    write_image(tmp_path / "blurred.png", noisy)
    write_image(tmp_path / "restored.jpg", sharp)  # JPEG loses something
    saved = read_rgb(tmp_path / "restored.jpg")
    assert (saved != sharp).any()
    files = [tmp_path / name for name in ("blurred.png", "restored.jpg", "sharp.png")]
    assert score("a/b.png", *files) == {
        "name": "a/b.png",
        "blurred_psnr": psnr(sharp, noisy),
        "blurred_ssim": ssim(sharp, noisy),
        "blurred_ssim_luma": ssim_luma(sharp, noisy),
        "blurred_ssim_matlab3d": ssim_matlab3d(sharp, noisy),
        "psnr": psnr(sharp, saved),
        "ssim": ssim(sharp, saved),
        "ssim_luma": ssim_luma(sharp, saved),
        "ssim_matlab3d": ssim_matlab3d(sharp, saved),
    }


@pytest.mark.parametrize(
    ("blurred", "restored", "sharp", "message"),
    [
        ("good.png", "good.png", "none.png", "none.png: no such sharp picture"),
        ("good.png", "good.png", "broken.png", "broken.png: not a picture that can be read"),
        ("good.png", "broken.png", "good.png", "broken.png: not a picture that can be read"),
        ("good.png", "other.png", "good.png", "other.png: 12x20, but .*good.png is 20x12"),
        ("other.png", "good.png", "good.png", "other.png: 12x20, but .*good.png is 20x12"),
        ("small.png", "small.png", "small.png", "small.png: SSIM needs 11 pixels a side, not 20x8"),
    ],
)
def test_pictures_that_cannot_be_scored_are_named(
    tmp_path, photo, blurred, restored, sharp, message
):
    write_image(tmp_path / "good.png", photo[:12, :20])
    write_image(tmp_path / "other.png", photo[:20, :12])
    write_image(tmp_path / "small.png", photo[:8, :20])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=message):
        score("a", *(tmp_path / name for name in (blurred, restored, sharp)))


ROWS = [
    {"name": "two/blur/1.png", "blurred_psnr": 20.0, "psnr": 30.0, "ssim": 0.5},
    {"name": "one/blur/1.png", "blurred_psnr": 22.0, "psnr": 32.0, "ssim": 0.7},
    {"name": "two/blur/2.png", "blurred_psnr": 24.0, "psnr": float("inf"), "ssim": 1.0},
    {"name": "[red].png", "blurred_psnr": 29.0, "psnr": 40.0, "ssim": 0.8},
]


def test_means_are_per_sequence_and_over_all_pictures_without_infinite_psnr():
    """[red].png has no folder, so no sequence; two/blur/2.png counts for SSIM alone."""
    two, one, mean = summarize(ROWS)
    assert two == pytest.approx(
        {
            **{"name": "two", "pictures": 2, "infinite_psnr": 1},
            **{"blurred_psnr": 20, "psnr": 30, "ssim": 0.75},
        }
    )
    assert one == {"name": "one", "pictures": 1, "infinite_psnr": 0} | {
        column: value for column, value in ROWS[1].items() if column != "name"
    }
    assert mean == pytest.approx(
        {
            **{"name": "mean", "pictures": 4, "infinite_psnr": 1},
            **{"blurred_psnr": 71 / 3, "psnr": 34, "ssim": 0.75},
        }
    )


def test_the_mean_of_equal_pictures_alone_is_infinite():
    assert summarize([ROWS[2]])[-1]["psnr"] == float("inf")


def test_csv_has_the_pictures_then_the_means(tmp_path):
    write_csv(tmp_path / "scores.csv", ROWS, summarize(ROWS))
    with open(tmp_path / "scores.csv") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["name", "blurred_psnr", "psnr", "ssim"]
    names = [line["name"] for line in lines]
    assert names == [*(row["name"] for row in ROWS), "two", "one", "mean"]
    assert [line["psnr"] for line in lines[2:]] == [
        *("inf", "40.000000", "30.000000", "32.000000", "34.000000")
    ]


def test_json_is_valid_and_has_null_for_infinity(tmp_path):
    write_json(tmp_path / "scores.json", ROWS, summarize(ROWS))

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    scores = json.loads((tmp_path / "scores.json").read_text(), parse_constant=refuse)
    assert [row["name"] for row in scores["pictures"]] == [row["name"] for row in ROWS]
    assert [row["psnr"] for row in scores["pictures"]] == [30, 32, None, 40]
    assert [(row["name"], row["psnr"]) for row in scores["sequences"]] == [("two", 30), ("one", 32)]
    assert (scores["mean"]["pictures"], scores["mean"]["infinite_psnr"]) == (4, 1)
    assert scores["mean"]["psnr"] == 34


def test_the_table_shows_few_pictures_but_of_many_only_the_means(capsys):
    print_table(ROWS, summarize(ROWS))
    few = capsys.readouterr().out
    assert [line.split()[0] for line in few.splitlines() if "." in line and "/" in line] == [
        *("two/blur/1.png", "one/blur/1.png", "two/blur/2.png")
    ]
    assert "[red].png" in few  # not taken for a colour
    assert "left out of its means, for pictures: 1" in few

    rows = [{"name": "a", "blurred_ssim_luma": 0.1, "psnr": 20.0, "ssim_matlab3d": 0.3}]
    for every, columns in (
        (False, "name psnr"),
        (True, "name blurred ssim luma psnr ssim matlab3d"),
    ):
        print_table(rows, summarize(rows), every)
        assert capsys.readouterr().out.split("\n")[1].split() == columns.split()

    many = [{**ROWS[0], "name": f"seq/{index}.png"} for index in range(51)]
    print_table(many, summarize(many))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "." in line]
    assert lines == [["seq", "20.00", "30.00", "0.5000"], ["mean", "20.00", "30.00", "0.5000"]]
