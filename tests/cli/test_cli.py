"""The commands: help at once, flags to configuration, one line for a mistake."""

import os
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from helpers import TESTS, run_python

import srn_tf
from srn_tf.cli import command as command_line
from srn_tf.cli import train as command

ROOT = TESTS.parent


COMMANDS = {
    "train": "srn-train",
    "test": "srn-test",
    "export": "srn-export",
    "import_checkpoint": "srn-import",
    "models": "srn-models",
    "serve": "srn-serve",
    "plot": "srn-plot",
}


@pytest.mark.parametrize("module", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_do_not_start_keras_or_tensorflow(module, flag):
    printed = run_python(
        f"import sys; from srn_tf.cli.{module} import main\n"
        f"assert main([{flag!r}]) == 0\n"
        "assert not {'keras', 'tensorflow', 'numpy', 'cv2'} & set(sys.modules)"
    )
    expected = "show the version" if flag == "--help" else srn_tf.__version__
    assert printed.startswith(f"{COMMANDS[module]} ")
    assert expected in printed


@pytest.mark.parametrize("script", ["train.py", "test.py"])
def test_the_scripts_at_the_top_are_the_commands(script):
    result = subprocess.run(
        [sys.executable, script, "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout == f"srn-{script.removesuffix('.py')} {srn_tf.__version__}\n"


def parse(*words):
    values = command.define_flags()
    values(["srn-train", *words])
    return command.training_config(values)


def test_the_authors_flags_keep_working():
    config = parse(
        *("--model", "color", "--datalist", "list.txt"),
        *("--batch_size", "8", "--epoch", "10", "--lr", "0.001"),
    )
    assert config.model == "color"
    assert config.network == srn_tf.MODELS["color"]
    assert (config.data.datalist, config.batch_size, config.epochs, config.lr) == (
        os.path.abspath("list.txt"),
        8,
        10,
        0.001,
    )


def test_defaults_are_those_of_the_paper():
    config = parse("--datalist=list.txt")
    assert (config.model, config.batch_size, config.data.crop_size) == ("lstm", 16, 256)
    assert (config.lr, config.end_lr, config.decay) == (1e-4, 1e-6, "exponential")
    assert (config.epochs, config.clip_norm, config.precision) == (2000, 0.0, "float32")


def test_flags_of_the_network_replace_the_models_own():
    config = parse("--model=color", "--kernel_size=3", "--blocks=1", "--sharp_path=photos")
    assert (config.network.kernel_size, config.network.blocks) == (3, 1)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--bogus=1"], 2, "Unknown command line flag 'bogus'"),
        (["train"], 2, "'train' is not a flag"),
        (["--lr=fast"], 2, "flag --lr=fast"),
        (["--model=colour"], 2, "flag --model=colour: value should be one of"),
        ([], 1, "--run_dir is needed"),
        (["--run_dir=r"], 1, "--datalist or --sharp_path is needed"),
        (["--run_dir=r", "--sharp_path=p", "--crop_size=100"], 1, "a multiple of 16, not 100"),
        (["--run_dir=r", "--sharp_path=p", "--lr=0"], 1, "below 1e38, not 0.0"),
        (["--run_dir=r", "--sharp_path=p", "--lr=inf"], 1, "below 1e38, not inf"),
        (
            ["--run_dir=r", "--sharp_path=p", "--max_blur=1e6"],
            1,
            "max_blur must be 0 to 256 pixels",
        ),
        (
            ["--run_dir=r", "--sharp_path=p", "--max_blur=4", "--min_blur=5"],
            1,
            "min_blur must be 0 to max_blur pixels, not 5.0",
        ),
        (
            ["--run_dir=r", "--sharp_path=p", "--scale_weights=1,2"],
            1,
            "scale_weights must be 3 positive numbers for this network, not (1.0, 2.0)",
        ),
        (
            ["--run_dir=r", "--sharp_path=p", "--scale_weights=1,two,1"],
            1,
            "scale_weights must be numbers, not 1,two,1",
        ),
        (["--run_dir=r", "--sharp_path=p", "--seed=4294967296"], 1, "seed must be"),
        (["--run_dir=", "--sharp_path=p"], 1, "--run_dir is needed"),
        (["--run_dir=r", "--sharp_path=no/such"], 1, "no/such: no such folder"),
        (["--run_dir=r", "--datalist=no/such"], 1, "no/such: cannot be read as a list"),
        (["--run_dir=r", "--model=color", "--sharp_path=p", "--clip_norm=3"], 1, "clip_norm"),
        (
            ["--run_dir=r", "--sharp_path=p", "--data_root=d"],
            1,
            "--data_root needs --datalist",
        ),
        (
            ["--run_dir=r", "--datalist=l", "--max_blur=4"],
            1,
            "--max_blur needs --sharp_path or --val_sharp_path",
        ),
        (
            ["--run_dir=r", "--sharp_path=p", "--validate_every=5"],
            1,
            "--validate_every needs --val_datalist or",
        ),
        (
            ["--run_dir=r", "--sharp_path=p", "--val_data_root=d"],
            1,
            "--val_data_root needs --val_datalist",
        ),
        (
            ["--run_dir=r", "--sharp_path=p", "--val_sharp_path=./p"],
            1,
            "the data to validate with is that to train on",
        ),
        (
            ["--run_dir=r", "--sharp_path=p", "--decay=polynomial", "--end_lr=1e-6"],
            1,
            "--end_lr cannot go with --decay polynomial",
        ),
        (
            ["--run_dir=r", "--sharp_path=p", "--epoch=2", "--max_steps=3"],
            1,
            "--epoch and --max_steps",
        ),
        (
            ["--run_dir=r", "--sharp_path=p", "--backend=torch"],
            2,
            "--backend=torch: value",
        ),
        (
            ["--run_dir=r", "--sharp_path=p", "--processes=2"],
            1,
            "--processes cannot go with",
        ),
        (["--run_dir=r", "--sharp_path=p", "--accumulate=3"], 1, "a divisor of the batch_size 16"),
        (["--run_dir=r", "--sharp_path=p", "--ema=1"], 1, "ema must be 0 (off) or more, below 1"),
    ],
)
def test_mistakes_get_one_line_and_a_status(words, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command.main(words) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("srn-train: ")
    assert message in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["torch", "tensorfow"])
def test_another_backend_is_refused(name, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", name)
    assert command.main(["--run_dir=r", "--sharp_path=p"]) == 1
    expected = f"srn-train: KERAS_BACKEND must be tensorflow or jax to train, not '{name}'\n"
    assert capsys.readouterr().err == expected


@pytest.mark.long
def test_threads_reach_opencv_too():
    printed = run_python(
        "import cv2\n"
        "from srn_tf.cli.command import start_tensorflow\n"
        "start_tensorflow(gpu='-1', threads=1)\n"
        "print(cv2.getNumThreads())"
    )
    assert printed == "1\n"


def run_command(execute, *words) -> int:
    return command_line.run("srn-x", "does something.", flags.FlagValues(), execute, words)


def test_a_mistake_of_ours_shows_where_it_was_made():
    with pytest.raises(ValueError, match="could not be broadcast"):
        run_command(lambda _: np.ones(2) + np.ones(3))


def test_the_traceback_of_a_users_mistake_can_be_had(capsys, monkeypatch):
    def refuse(_):
        raise srn_tf.UserError("photo.png: empty")

    assert run_command(refuse) == 1
    assert capsys.readouterr().err == "srn-x: photo.png: empty\n"
    with pytest.raises(srn_tf.UserError):
        run_command(refuse, "--traceback")
    monkeypatch.setenv("SRN_TF_TRACEBACK", "1")
    with pytest.raises(srn_tf.UserError):
        run_command(refuse)


def test_all_mistakes_of_users_are_known_as_such():
    """A plain ValueError would show a traceback. (In images/ parsers tell the reader, which tells
    the user which file it was.)"""
    paths = [path for path in (ROOT / "srn_tf").rglob("*.py") if path.parent.name != "images"]
    sources = {path: path.read_text() for path in paths}
    assert [path for path, text in sources.items() if "raise ValueError" in text] == []


@pytest.mark.slow
def test_tensorflow_is_started_without_what_no_command_uses():
    code = """
import sys
from srn_tf.cli.command import start_tensorflow
start_tensorflow("-1", 0)
print(sorted({"jax", "matplotlib", "pandas", "sklearn"} & sys.modules.keys()))
import jax, matplotlib.pyplot
"""
    assert run_python(code).strip() == "[]"
