"""What goes wrong outside the program: each fault ends in one line, or does no harm."""

import csv
import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unicodedata

import numpy as np
import pytest
from helpers import TESTS
from PIL import Image

from srn_tf import UserError, atomic
from srn_tf.checkpoints import archive, places
from srn_tf.cli import command, data, train
from srn_tf.cli import test as deblurring
from srn_tf.evaluation import scores
from srn_tf.images.files import as_stored, read_lines
from srn_tf.restoration.jobs import find_jobs

WIENER = ("--model=wiener", "--blur_length=5", "--blur_angle=20")
COMMAND = "import sys; from srn_tf.cli.{} import main; sys.exit(main())"


@pytest.fixture
def folder(tmp_path, photo, monkeypatch):
    """The current folder, with a.png, b.jpg and photos/c.png."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.jpg", "photos/c.png"):
        Image.fromarray(photo[:40, :60]).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def deblur(folder, capsys):
    """Runs srn-test with a classical method; gives status, output and error lines."""

    def run(*words):
        status = deblurring.main([*words, *WIENER])
        printed = capsys.readouterr()
        return status, printed.out, printed.err.splitlines()

    return run


def files(folder) -> list[str]:
    found = (path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def start(program: str, *words, **options) -> subprocess.Popen:
    """A command in a process of its own, in the current folder."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent), **options.pop("env", {})}
    code = COMMAND.format(program)
    return subprocess.Popen([sys.executable, "-c", code, *words], env=environment, **options)


# What is taken as input, and where results go


@pytest.mark.parametrize(
    ("words", "results"),
    [
        (["a.png", "b.jpg", "photos/"], ["a.png", "b.jpg", "photos/c.png"]),
        (["-i", "photos"], ["c.png"]),
        (["photos/c.png", "a.png", "--format=bmp"], ["a.bmp", "photos/c.bmp"]),
        (["photos/*.png"], ["c.png"]),
    ],
)
@pytest.mark.slow
def test_several_inputs_go_to_a_folder(deblur, folder, words, results):
    assert deblur(*words, "-o", "out")[0] == 0
    assert files(folder / "out") == results


@pytest.mark.parametrize(
    ("words", "result"),
    [
        (["a.png"], "restored/a.png"),
        (["photos"], "restored/c.png"),
        (["photos/c.png"], "photos/restored/c.png"),
        (["photos/*.png"], "photos/restored/c.png"),
    ],
)
def test_by_default_results_go_beside_the_input(deblur, folder, words, result):
    status, out, _ = deblur(*words)
    assert status == 0
    assert f"results go to {os.path.dirname(result)}\n" in out
    assert (folder / result).is_file()


def test_one_picture_can_be_named(deblur, folder):
    assert deblur("a.png", "--output_path=new/result.jpg")[0] == 0
    assert files(folder / "new") == ["result.jpg"]
    status, _, (line,) = deblur("a.png", "b.jpg", "--output_path=result.jpg")
    assert status == 1
    assert "result.jpg: is the name of one picture, and there are 2" in line


@pytest.mark.long
def test_in_a_pipeline_the_picture_alone_goes_to_standard_output(deblur, folder):
    assert deblur("b.jpg", "-o", "out")[0] == 0
    with open("b.jpg", "rb") as source, open("piped.jpg", "wb") as target:
        process = start("test", "-", *WIENER, stdin=source, stdout=target, stderr=subprocess.PIPE)
        assert process.communicate()[1] == b""
    assert process.returncode == 0
    assert (folder / "piped.jpg").read_bytes() == (folder / "out/b.jpg").read_bytes()


def test_paths_with_a_home_folder(deblur, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert deblur("--input_path=~/photos", "--output_path=$HOME/out")[0] == 0
    assert files(folder / "out") == ["c.png"]


# Mistakes, found before anything is restored


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png", "--overwite"], "'overwite'; the nearest is --overwrite"),
        (["a.png", "--gpu=99"], "--gpu 99: no such GPU"),
        (["a.png", "--gpu=first"], "--gpu first: must be numbers such as 0 or 0,1"),
        (["a.png", "--output_path=/proc/out"], "/proc/out: No such file or directory"),
        (["a.png", "--sharp_path=none"], "none: no such folder of sharp pictures"),
        (["pipe.png"], "pipe.png: is neither a file nor a folder"),
        (["pipes.txt"], "pipes.txt:1: 'pipe.png' is not the path of a picture"),
        (["zero.txt"], "zero.txt:1: 'zero.png' is not the path of a picture"),
        (["utf16.txt"], "utf16.txt: is in UTF-16, or no text; a list must be in UTF-8"),
        (["a\x1b]0;title\x07\nsrn-test: forged.png"], r"a\x1b]0;title\x07\nsrn-test: forged.png:"),
    ],
)
def test_mistakes_get_one_line(deblur, folder, words, message):
    os.mkfifo("pipe.png")
    os.symlink("/dev/zero", "zero.png")
    for name, text in (("pipes", "pipe.png"), ("zero", "zero.png")):
        (folder / f"{name}.txt").write_text(text)
    (folder / "utf16.txt").write_text("a.png\n", encoding="utf-16")
    status, out, (line,) = deblur(*words)
    assert status > 0
    assert out == ""
    assert message in line
    assert not (folder / "restored").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": 3.0}, "scales must be int, not 3.0"),
        ({"channels": True}, "channels must be int, not True"),
        ({"widths": [4, 4, "4"]}, "widths must be int, not (4, 4, '4')"),
        ({"widths": [4, 4, 10**9]}, "widths must be 1 to 6 numbers of 1 to 4096"),
        ({"blocks": 10**9}, "blocks must be 1 to 1000"),
        ({"blocks": 1000}, "parameters or more, its arrays"),
        ({"kernel": 3}, "kernel"),
        ("model", "no model named 'a\\x1b[31m'"),
        ("step", "step must be a whole number, not 'x'"),
        ("compressed", "is compressed, which numpy.savez never does"),
    ],
)
def test_forged_checkpoints_are_refused_before_tensorflow_starts(
    folder, checkpoint, capsys, change, message
):
    stored = dict(np.load(checkpoint))
    header = json.loads(str(stored["header"]))
    if isinstance(change, dict):
        header["network"] |= change
    elif change != "compressed":
        header |= {"model": "a\x1b[31m"} if change == "model" else {"step": "x"}
    save = np.savez_compressed if change == "compressed" else np.savez
    save("forged.npz", **{**stored, "header": np.array(json.dumps(header))})
    assert deblurring.main(["a.png", "--checkpoint=forged.npz"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("srn-test: forged.npz: ")
    assert message in line
    with pytest.raises(UserError):
        archive.read("forged.npz")


@pytest.mark.slow
def test_weights_that_give_no_numbers_are_an_error(folder, model, capsys):
    for variable in model.variables:
        if "dec1_0" in variable.path:
            variable.assign(np.full(variable.shape, 3e38))
    archive.save("huge.npz", "color_lstm_residual", model)
    words = ["a.png", "--checkpoint=huge.npz", "--precision=float32", "--output_path=out"]
    assert deblurring.main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "srn-test: a.png: the network gives values that are not finite numbers"
    assert not (folder / "out").exists() or files(folder / "out") == []


def test_a_run_folder_in_use_is_found_before_tensorflow_starts(folder, capsys):
    (folder / "run").mkdir()
    lock = places.lock("run")
    words = ["--model=color", "--sharp_path=photos", "--run_dir=run"]
    assert train.main(words) == 1
    assert "run: another process trains in this folder" in capsys.readouterr().err
    lock.release()
    (folder / "run/config.json").write_text("{}")
    assert train.main(words) == 1
    assert "run: holds a run already; add --resume" in capsys.readouterr().err


# Text


@pytest.mark.slow
def test_lists_are_utf8_in_any_locale(folder, photo):
    for side in ("sharp", "blur"):
        (folder / "set" / side).mkdir(parents=True)
        Image.fromarray(photo[:40, :60]).save(folder / "set" / side / "Größe.png")
    ascii = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ["list", "--root=set", "--output=list.txt"]
    assert start("data", *words, env=ascii).wait() == 0
    assert (folder / "list.txt").read_bytes().decode() == "sharp/Größe.png blur/Größe.png\n"
    words = ["pack", "--datalist=list.txt", "--data_root=set", "--output=pairs.npz"]
    assert start("data", *words, env=ascii).wait() == 0


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_both_forms_of_a_name_match(folder, photo, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    stored, asked = (unicodedata.normalize(f, "ä/ö.png") for f in (form, other))
    for side in ("in", "sharp"):
        path = folder / side / (stored if side == "in" else asked)
        path.parent.mkdir(parents=True)
        Image.fromarray(photo[:20, :20]).save(path)
    assert as_stored(folder / "in" / asked).samefile(folder / "in" / stored)
    (job,) = find_jobs("in", "out", recursive=True, sharp_path="sharp")
    assert job.sharp.is_file()


def test_a_list_may_have_backslashes(folder):
    (folder / "list.txt").write_text("photos\\c.png\r\n", newline="")
    (job,) = find_jobs("list.txt", "out")
    assert job.source == pathlib.Path("photos/c.png")


def test_a_list_that_is_not_utf8_names_the_line(folder):
    (folder / "list.txt").write_bytes("a.png\nGröße.png\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"list.txt:2: is not UTF-8"):
        read_lines("list.txt")


def test_a_name_is_no_formula(tmp_path):
    row = {"name": "=1+1.png", "psnr": 30.0}
    scores.write_csv(tmp_path / "scores.csv", [row], [])
    with open(tmp_path / "scores.csv") as file:
        (read,) = csv.DictReader(file)
    assert read["name"] == "./=1+1.png"


def test_a_terminal_obeys_no_name(capsys):
    command.say("a\x1b[31m\x07\nb:\n  c\u202e")
    assert capsys.readouterr().out == "a\\x1b[31m\\x07\\nb:\n  c\\u202e\n"


# Streams, signals, disks


@pytest.mark.long
@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_do_not_end_the_work(folder, closed):
    words = f"a.png -o out {' '.join(WIENER)} {closed}"
    code = f'"{sys.executable}" -c "{COMMAND.format("test")}" {words}'
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    assert subprocess.run(code, shell=True, env=environment).returncode == 0
    assert files(folder / "out") == ["a.png"]


@pytest.mark.long
def test_without_a_temporary_folder_the_work_goes_on(folder):
    code = f"import tempfile; tempfile._candidate_tempdir_list = lambda: []\n{COMMAND}"
    words = [sys.executable, "-c", code.format("test"), "a.png", "-o", "out", *WIENER]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    assert subprocess.run(words, env=environment).returncode == 0
    assert files(folder / "out") == ["a.png"]


@pytest.mark.long
@pytest.mark.parametrize(("number", "left"), [(signal.SIGTERM, False), (signal.SIGKILL, True)])
def test_what_a_killed_process_leaves_goes_at_the_next_run(folder, photo, number, left):
    (folder / "many").mkdir()
    for i in range(60):
        Image.fromarray(photo).save(folder / "many" / f"{i}.bmp")
    process = start("data", "blur", "--input_path=many", "--output_path=out/pairs")
    while not (folder / "out").exists() or not os.listdir("out"):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait() == (143 if number == signal.SIGTERM else -number)
    assert len(os.listdir("out")) == left
    assert data.main(["blur", "--input_path=photos", "--output_path=out/pairs"]) == 0
    assert os.listdir("out") == ["pairs"]


def test_what_a_living_process_writes_stays(tmp_path):
    with atomic.atomic_file(tmp_path / "a") as temporary:
        temporary.touch()
        other = temporary.with_name(temporary.name.replace(f"-{os.getpid()}-", "-1-"))
        other.touch()
        atomic.sweep(tmp_path)
        assert temporary.exists()
        assert other.exists()


def test_errors_name_what_was_asked_for(tmp_path):
    for write in (atomic.atomic_file, atomic.atomic_folder):
        with pytest.raises(OSError, match="No space left") as raised:  # noqa: SIM117
            with write(tmp_path / "result") as temporary:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary))
        assert raised.value.filename == str(tmp_path / "result")
        assert list(tmp_path.iterdir()) == []
