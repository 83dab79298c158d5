"""Several devices and several workers have the numbers of one device; for real, on processors."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import time

import numpy as np
import pytest
import skimage.data
from helpers import TINY, Forked, configuration, metrics, srn_train

from srn_tf.checkpoints import archive, places
from srn_tf.cli import train as command
from srn_tf.images.rgb import write_image
from srn_tf.training.loop import train

pytestmark = pytest.mark.long

STEPS = 40
FLAGS = {
    "model": "ss",
    "max_blur": 4,
    "crop_size": 16,
    "batch_size": 4,
    "max_steps": STEPS,
    "save_every": 5,
    "log_every": 1,
    "lr": 1e-3,
    "gpu": -1,
}
NETWORKS = {"ss": TINY}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distribution")
    photo = skimage.data.astronaut()
    for i in range(3):
        write_image(folder / "photos" / f"{i}.png", photo[64 * i : 64 * i + 64, :96])
    return folder


def words(folder, name, **flags) -> list[str]:
    """The arguments of the run `name`."""
    flags = FLAGS | {"sharp_path": folder / "photos", "run_dir": folder / name} | flags
    return [f"--{name}={value}" for name, value in flags.items()]


def numbers(run_dir, steps: int = STEPS) -> np.ndarray:
    """Loss, loss of each scale and norm of the gradients of every step."""
    assert [row["step"] for row in metrics(run_dir)] == list(range(1, steps + 1))
    return np.array(
        [[row["loss"], *row["loss_per_scale"], row["gradient_norm"]] for row in metrics(run_dir)]
    )


def on_two_devices(code: str) -> str:
    """Runs code in a process that has two logical devices; gives what it printed."""
    forked = Forked(
        "import tensorflow as tf\n"
        "parts = [tf.config.LogicalDeviceConfiguration()] * 2\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, parts)\n" + code
    )
    assert forked.wait() == 0, forked.printed
    return forked.printed


def test_two_devices_that_compute_their_shares_in_parts_have_the_numbers_of_one(folder):
    config = configuration(
        sharp_path=str(folder / "photos"),
        crop_size=16,
        batch_size=4,
        max_steps=20,
        end_lr=1e-6,
        clip_norm=1e-2,  # which matters, and holds for the gradient of the whole batch
        clip_all=1e-1,
        ema=0.9,
    )
    one, two = folder / "one_device", folder / "two_devices"
    train(config, one, log=lambda _: None)
    in_parts = dataclasses.replace(config, accumulate=2).to_json()
    printed = on_two_devices(
        "from srn_tf.training.config import TrainingConfig\n"
        "from srn_tf.training.loop import train\n"
        f"train(TrainingConfig.from_json({in_parts!r}), {str(two)!r})"
    )
    assert "on 2 CPUs" in printed
    np.testing.assert_allclose(numbers(two, 20), numbers(one, 20), rtol=1e-4)
    for group in ("model/", "training/"):  # the averages, and the weights
        norms = [
            np.linalg.norm(np.concatenate([a.ravel() for n, a in arrays if n.startswith(group)]))
            for arrays in (archive.read(places.find(run))[1].items() for run in (one, two))
        ]
        assert norms[1] == pytest.approx(norms[0], rel=1e-4)


class Workers:
    """Two workers on this machine, each with a run folder of its own that the other cannot see."""

    def __init__(self, folder, *more):
        self.ports = [_free_port() for _ in range(2)]
        self._commands = [
            Forked(
                srn_train([*words(folder, name), *more], NETWORKS),
                TF_CONFIG=tf_config(self.ports, i),
            )
            for i, name in enumerate(("worker0", "worker1"))
        ]
        self.processes = [command.process for command in self._commands]

    def wait(self) -> list[str]:
        """What each printed."""
        self.statuses = [command.wait() for command in self._commands]
        return [command.printed for command in self._commands]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tf_config(ports, index) -> str:
    workers = [f"127.0.0.1:{port}" for port in ports]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


def wait_for_step(run_dir, step, workers):
    end = time.monotonic() + 600
    while len(metrics(run_dir)) < step:
        assert time.monotonic() < end
        assert all(process.is_alive() for process in workers.processes)
        time.sleep(0.01)


def test_two_workers_have_the_numbers_of_one_device_though_one_was_killed(folder):
    with Workers(folder) as workers:
        wait_for_step(folder / "worker0", 7, workers)
        workers.processes[1].kill()
        printed, _ = workers.wait()
        assert workers.statuses == [1, -signal.SIGKILL]
        assert printed.splitlines()[-1] == (
            "srn-train: worker 0 of 2 lost another one; start all of them again with --resume"
        )
    with Workers(folder, "--resume") as workers:
        printed, silent = workers.wait()
    assert workers.statuses == [0, 0]
    assert re.search(r"^resuming at step (5|[1-3][05])$", printed, re.MULTILINE)
    assert "on 2 CPUs of 2 workers" in printed
    assert silent == ""
    assert not (folder / "worker1").exists()  # only the chief writes
    one = Forked(srn_train(words(folder, "one"), NETWORKS))
    assert one.wait() == 0, one.printed
    np.testing.assert_allclose(numbers(folder / "worker0"), numbers(folder / "one"), rtol=1e-4)


def test_sigterm_to_one_worker_saves_and_ends_all_with_143(folder):
    with Workers(folder, "--max_steps=100000", f"--run_dir={folder / 'stopped'}") as workers:
        wait_for_step(folder / "stopped", 2, workers)
        os.kill(workers.processes[1].pid, signal.SIGTERM)
        printed, _ = workers.wait()
    assert workers.statuses == [143, 143]
    last = metrics(folder / "stopped")[-1]["step"]
    assert f"step {last} of 100000" in printed


def test_a_worker_that_waits_for_another_one_is_ended_by_sigterm(folder):
    with Workers(folder) as workers:
        waiting, other = workers.processes
        other.kill()
        while waiting.is_alive():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", workers.ports[0])).close()
                break
        os.kill(waiting.pid, signal.SIGTERM)
        waiting.join(20)
        assert waiting.exitcode == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ('{"cluster": {"worker": ["a:1", "b"]}, "task": {}}', "worker must be a list of host:port"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "'task'"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "there is no worker 1",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
            "a cluster of chief and worker is needed, not ps",
        ),
    ],
)
def test_a_cluster_that_cannot_be_understood_is_refused(folder, text, reason, monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", text)
    assert command.main(words(folder, "refused")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("srn-train: TF_CONFIG cannot be understood (")
    assert reason in line


def test_a_batch_that_does_not_divide_over_the_devices_is_refused(folder):
    arguments = words(folder, "odd", batch_size=3)
    printed = on_two_devices(
        f"from srn_tf.cli.train import main\nprint('status', main({arguments!r}))"
    )
    assert printed.splitlines()[-2:] == [
        "srn-train: batch_size 3 must be a multiple of 2: devices 2, accumulate 1",
        "status 1",
    ]
    assert not (folder / "odd").exists()
