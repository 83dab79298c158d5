"""Trains a small network on this machine for a few minutes and shows what it does.

The photographs are those inside scikit-image; some are kept out of training, blurred, deblurred and
compared. Everything goes through the commands a user types. Run it with `make train-demo`.
"""

import argparse
import csv
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

import cv2
import numpy as np
import skimage.data

from srn_tf.cli.command import start_tensorflow
from srn_tf.data.camera_shake import CameraPath, blur_along
from srn_tf.images.rgb import read_rgb, write_image

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "demo" / "training"
TRAIN_SECONDS = 280
BATCH_SIZE = 4
# Of each kept-out photograph: how many random blurs, how far they reach in pixels, and the corner
# (top, left) of what the picture shows.
BLURS = 3
EXTENT = 3.0
CROP = {"chelsea": (60, 120), "coffee": (60, 180)}
CROP_SIZE = 224


def photographs() -> dict[str, np.ndarray]:
    """The colour photographs inside scikit-image's wheel, uint8 RGB."""
    left, right, _ = skimage.data.stereo_motorcycle()
    names = ("astronaut", "chelsea", "coffee", "rocket")
    return {
        **{name: getattr(skimage.data, name)() for name in names},
        "motorcycle_left": left,
        "motorcycle_right": right,
    }


def prepare() -> None:
    """Writes the training photographs, and the kept-out ones sharp and blurred."""
    for name, photo in photographs().items():
        if name not in CROP:
            # BMP: decoding it costs nothing, and the training reads each photograph often.
            write_image(WORK / "train" / f"{name}.bmp", photo)
            continue
        for i in range(BLURS):
            path = CameraPath(np.random.default_rng(i), EXTENT, photo.shape[:2])
            maps = path.homographies(path.samples)
            write_image(WORK / "sharp" / f"{name}_{i}.png", photo)
            write_image(WORK / "blurred" / f"{name}_{i}.png", blur_along(photo, maps, i % 2 == 0))


def command(script: str, **flags) -> None:
    """Runs train.py or test.py of this project; ends this if it fails."""
    words = [f"--{name}={value}" for name, value in flags.items()]
    print(f"$ python {script} {' '.join(words)}", flush=True)
    status = subprocess.run([sys.executable, ROOT / script, *words], cwd=ROOT).returncode
    if status:
        sys.exit(status)


def train(seed: int) -> None:
    """Trains for TRAIN_SECONDS; a first short run measures how many steps those are here."""
    start_tensorflow(gpu=None, threads=0)
    from srn_tf.restoration.deblurrer import fastest_precision

    flags = {
        "model": "color_lstm_residual",
        "kernel_size": 3,
        "blocks": 1,
        "sharp_path": "demo/training/train",
        "max_blur": 5,
        "crop_size": 128,
        "batch_size": BATCH_SIZE,
        "lr": 1e-3,
        "decay": "polynomial",
        "clip_norm": 3,
        "precision": fastest_precision(),
        "seed": seed,
    }
    command("train.py", **flags, max_steps=60, run_dir="demo/training/timing")
    rows = map(json.loads, (WORK / "timing" / "metrics.jsonl").read_text().splitlines()[30:])
    pairs_per_second = statistics.harmonic_mean(row["pairs_per_second"] for row in rows)
    steps = max(10, int(TRAIN_SECONDS * pairs_per_second / BATCH_SIZE))
    command("train.py", **flags, max_steps=steps, max_minutes=5.5, run_dir="demo/training/run")


def before_after() -> pathlib.Path:
    """Draws blurred, restored and sharp crops of the kept-out photographs side by side."""
    rows = []
    for name, (top, left) in CROP.items():
        window = np.s_[top : top + CROP_SIZE, left : left + CROP_SIZE]
        tiles = []
        for kind in ("blurred", "restored", "sharp"):
            crop = read_rgb(WORK / kind / f"{name}_0.png")[window]
            tile = cv2.resize(crop, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            for color, thickness in ((0, 5), (255, 2)):
                cv2.putText(
                    tile, kind, (12, 34), cv2.FONT_HERSHEY_SIMPLEX, 1, (color,) * 3, thickness
                )
            tiles.append(tile)
        rows.append(np.hstack(tiles))
    path = WORK / "before_after.png"
    write_image(path, np.vstack(rows))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the training (default: 1)")
    seed = parser.parse_args().seed
    shutil.rmtree(WORK, ignore_errors=True)
    prepare()
    train(seed)
    command(
        "test.py",
        input_path="demo/training/blurred",
        output_path="demo/training/restored",
        sharp_path="demo/training/sharp",
        checkpoint="demo/training/run",
    )
    with open(WORK / "restored" / "scores.csv") as file:
        mean = list(csv.DictReader(file))[-1]
    blurred, restored = float(mean["blurred_psnr"]), float(mean["psnr"])
    print(f"\nPSNR of the kept-out pictures: blurred {blurred:.2f} dB, restored {restored:.2f} dB")
    print(f"gain {restored - blurred:+.2f} dB; look at {before_after()}")


if __name__ == "__main__":
    main()
