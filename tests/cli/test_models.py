"""The table of models: counted, and the same in the README."""

import functools
import json
import re

import pytest
from helpers import TESTS
from rich.console import Console

from srn_tf.cli import models as command
from srn_tf.cli.models import as_markdown, model_table
from srn_tf.networks.configs import MODELS
from srn_tf.networks.macs import macs_a_pixel

pytestmark = pytest.mark.long

PARAMETERS = {
    "lstm": 8_056_609,
    "gray": 6_876_449,
    "color": 6_881_251,
    "color_lstm": 8_061_411,
    "color_lstm_residual": 8_061_411,
    "fast": 7_286_960,
    "fast_small": 2_549_936,
    "chooser": 7_434_480,
    "ss": 2_731_619,
    "sc": 8_194_857,
    "wo_r": 2_731_619,
    "rnn": 3_026_659,
    "sr_flat": 2_659_939,
    "sr_rb": 2_659_939,
    "sr_ed": 3_764_195,
    "sr_edrb1": 2_214_115,
    "sr_edrb2": 2_989_155,
    "sr_edrb3": 3_764_195,
    "mscnn": 11_721_321,
    "pss_nsc": 3_871_715,
}


@pytest.fixture(scope="module")
def rows():
    return model_table()


@pytest.mark.parametrize(("width", "headings"), [(80, 2), (200, 1)])
def test_the_printed_table_fits_the_terminal(capsys, monkeypatch, width, headings):
    monkeypatch.setattr(
        "rich.console.Console", functools.partial(Console, width=width, force_terminal=True)
    )
    row = {"channels": 3, "parameters": 11_736_321, "gmacs_256x256": 1234.5}
    row |= {"gmacs_1280x720": 12345, "gopro_psnr": 30.26, "gopro_ssim": 0.9342}
    about = {name: (words, source) for name, (words, *_, source) in command.ABOUT.items()}
    command.print_models(
        [{"name": name, "about": about[name][0], "source": about[name][1], **row} for name in about]
    )
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.split()[:1] == ["model"] for line in lines) == headings
    for name in about:
        (numbers,) = [line for line in lines if line.split()[:2] == [name, "3"]]
        assert "11,736,321" in numbers
        assert "12,345" in numbers


def test_work_is_counted_from_the_layers():
    network = {"kernel_size": 3, "widths": (4, 8), "blocks": 1, "scales": 1}
    pixels, quarter = 16 * 32, 8 * 16
    encoder = pixels * 9 * (6 * 4 + 2 * 4 * 4) + quarter * 9 * (4 * 8 + 2 * 8 * 8)
    middle = quarter * 9 * 8 * 8
    decoder = quarter * 9 * 2 * 8 * 8 + quarter * 16 * 8 * 4 + pixels * 9 * (2 * 4 * 4 + 4 * 3)
    assert macs_a_pixel("ss", **network) * pixels == encoder + middle + decoder


def test_the_work_of_color_at_720p_is_the_known_one(rows):
    (color,) = [row for row in rows if row["name"] == "color"]
    assert color["parameters"] == 6_881_251
    assert color["gmacs_1280x720"] == 1174  # 2.35 TFLOP
    assert macs_a_pixel("color") * 720 * 1280 == pytest.approx(1174e9, rel=1e-3)


def test_every_model_has_its_parameters(rows):
    assert [row["name"] for row in rows] == list(MODELS)
    assert {row["name"]: row["parameters"] for row in rows} == PARAMETERS


def test_the_readme_has_the_same_table(rows):
    assert as_markdown(rows) in (TESTS.parent / "README.md").read_text()


def test_the_command_prints_json_for_programs(capsys, rows, monkeypatch):
    monkeypatch.setattr(command, "model_table", lambda: rows)
    assert command.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
