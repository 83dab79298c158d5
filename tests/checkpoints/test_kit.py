"""checkpoints/train.sh: from photographs to scored weights, unattended, and on after a kill -9."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import TESTS, metrics

from srn_tf.images.rgb import write_image

pytestmark = pytest.mark.long

SMALL_RUN = ["--crop_size=64", "--batch_size=1", "--max_steps=30", "--save_every=3"]


def test_it_trains_from_photographs_to_weights_and_goes_on_where_it_was_killed(tmp_path, photo):
    for name in ("photos", "others"):
        write_image(tmp_path / name / "0.png", photo)
    words = ["--photos", tmp_path / "photos", "--val_photos", tmp_path / "others"]
    words += ["--out", tmp_path / "out", "--network", "fast_small"]
    words += ["--backend", "tensorflow", "--pairs", "2", "--val_pairs", "1"]
    words += ["--python", sys.executable, "--", *SMALL_RUN]
    command = ["bash", TESTS.parent / "checkpoints" / "train.sh", *words]
    run = tmp_path / "out" / "run"
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        while not list(run.glob("checkpoints/step_*.npz")):
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.read()  # Until all of its processes are gone, and their locks.
    pairs = (tmp_path / "out" / "pairs.npz").stat()
    done = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert (tmp_path / "out" / "pairs.npz").stat() == pairs
    for phase in ("blurring 2 pairs", "training fast_small on tensorflow", "weights", "done"):
        assert phase in done
    # It went on from a checkpoint, neither anew nor from the end.
    assert 0 < int(re.search(r"^resuming at step (\d+)$", done, re.MULTILINE)[1]) < 30
    steps = [row["step"] for row in metrics(run)]
    assert steps == list(range(1, 31))
    with np.load(tmp_path / "out" / "weights.npz") as weights:
        assert {weights[n].dtype for n in weights.files if n[:6] == "model/"} == {np.dtype("f2")}
