"""Restoring on a local Ray cluster: test.py's bytes, whatever dies or fails on the way."""

import os
import pathlib
import signal
import threading
import time

import numpy as np
import psutil
import pytest
from helpers import SMALL, TESTS, randomize

import srn_tf
from srn_tf.checkpoints import archive
from srn_tf.cli import test as command
from srn_tf.images.rgb import write_image

pytest.importorskip("ray", reason="needs the extra `ray`")
pytestmark = pytest.mark.long
SECONDS = 300


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, with processes that find the package here."""
    import ray

    path = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", path)
        ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def tree(folder: pathlib.Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(count):
        ending = ("png", "jpg")[i % 2]
        pixels = rng.integers(0, 255, (24 + 8 * (i % 3), 32, 3), np.uint8)
        write_image(folder / f"{'ab'[i % 2]}" / f"{i:03} x.{ending}", pixels)


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def kill_a_worker(pids: list[int]) -> None:
    """kill -9 of the first process with a network that is found."""
    end = time.monotonic() + SECONDS
    while not pids and time.monotonic() < end:
        for process in psutil.Process().children(recursive=True):
            try:
                if "_Worker" in " ".join(process.cmdline()):
                    process.send_signal(signal.SIGKILL)
                    pids.append(process.pid)
                    return
            except psutil.Error:
                continue
        time.sleep(0.1)


def test_a_tree_is_restored_though_a_worker_dies(cluster, tmp_path, capsys):
    from srn_tf import ray

    model = srn_tf.create_model("color_lstm_residual", **SMALL)
    randomize(model)
    archive.save(tmp_path / "model.npz", "color_lstm_residual", model)
    source, count = tmp_path / "source", int(os.environ.get("SRN_TF_RAY_PICTURES", 40))
    tree(source, count)
    words = f"--checkpoint={tmp_path}/model.npz", "--recursive"
    assert command.main([str(source), f"--output_path={tmp_path}/expected", *words]) == 0
    (source / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (source / "notes.txt").write_text("no picture")

    killed, seen = [], []
    killer = threading.Thread(target=kill_a_worker, args=(killed,))

    def advance(name):
        seen.append(name)
        if len(seen) == 1:
            killer.start()

    options = ray.Options(str(tmp_path / "model.npz"))
    target = (tmp_path / "restored").as_uri()
    summary = ray.restore(str(source), target, options, workers=2, advance=advance)
    killer.join()
    assert killed
    assert contents(tmp_path / "restored") == contents(tmp_path / "expected")
    assert summary.restored == count
    (error,) = summary.errors
    assert error.startswith("a/broken.png: not a picture that can be read")
    assert sorted(seen) == sorted([*contents(tmp_path / "expected"), "a/broken.png"])

    capsys.readouterr()
    words = f"--checkpoint={tmp_path}/model.npz", "--ray=local", f"--output_path={target}"
    assert command.main([str(source), *words]) == 1
    printed, errors = capsys.readouterr()
    assert f"pictures deblurred: 0, in {target}; there before: {count} " in printed
    assert "\nsrn-test: a/broken.png: not a picture" in f"\n{errors}"  # Ray says more


def test_what_cannot_be_is_refused_before_ray_starts(tmp_path):
    from srn_tf import ray

    with pytest.raises(srn_tf.UserError, match="no pictures in this folder"):
        ray.restore(str(tmp_path / "none"), str(tmp_path / "out"))
    with pytest.raises(srn_tf.UserError, match="nowhere://x"):
        ray.restore("nowhere://x", str(tmp_path / "out"))
    for name in ("a.png", "a.jpg"):
        write_image(tmp_path / "in" / name, np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(srn_tf.UserError, match="two pictures would have one name"):
        ray.restore(str(tmp_path / "in"), str(tmp_path / "out"), ray.Options(extension=".png"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in", "--ray=local"], "--output_path is needed"),
        (["in", "--ray=local", "-o=out", "--report"], "--report has no part beside --ray"),
        (["in", "--ray=local", "-o=out", "--model=blind"], "--model blind has no part"),
        (["in", "more", "--ray=local", "-o=out"], "with --ray there is one folder"),
        (["s3://no-bucket/in", "--ray=local", "-o=out", "--checkpoint=no"], "no such checkpoint"),
    ],
)
def test_mistakes_on_the_command_line(words, message, capsys):
    assert command.main(words) == 1
    assert message in capsys.readouterr().err
