"""checkpoints/train.sh: from photographs to scored weights, unattended, and on after a kill -9."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import TESTS, metrics

from srn_tf.images.rgb import write_image

pytestmark = pytest.mark.slow

SMALL_RUN = ["--crop_size=32", "--batch_size=1", "--save_every=1", "--validate_every=4"]


def test_it_trains_from_photographs_to_weights_and_goes_on_where_it_was_killed(tmp_path, photo):
    for name in ("photos", "others"):
        write_image(tmp_path / name / "0.png", photo)
    words = ["--photos", tmp_path / "photos", "--val_photos", tmp_path / "others"]
    words += ["--out", tmp_path / "out", "--minutes", "1", "--network", "fast_small"]
    words += ["--backend", "tensorflow", "--pairs", "2", "--val_pairs", "1"]
    words += ["--python", sys.executable, "--", *SMALL_RUN]
    command = ["bash", TESTS.parent / "checkpoints" / "train.sh", *words]
    run = tmp_path / "out" / "run"
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        while process.poll() is None and not list(run.glob("checkpoints/*.index")):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    pairs = (tmp_path / "out" / "pairs.npz").stat()
    done = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert (tmp_path / "out" / "pairs.npz").stat() == pairs
    for phase in ("blurring 2 pairs", "training fast_small on tensorflow", "weights", "done"):
        assert phase in done
    steps = [row["step"] for row in metrics(run)]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) > 2
    with np.load(tmp_path / "out" / "weights.npz") as weights:
        assert {weights[n].dtype for n in weights.files if n[:6] == "model/"} == {np.dtype("f2")}
