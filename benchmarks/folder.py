"""How near a folder of pictures comes to the network's own rate: files read, restored, written.

Photographs of 1280x720 as PNG, in a temporary folder. The network alone is timed before and after,
because machines drift.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import cv2
import skimage.data

from srn_tf import create_model
from srn_tf.config import MODELS, PRECISIONS
from srn_tf.folders import deblur_files, find_jobs
from srn_tf.images import write_image
from srn_tf.inference import Deblurrer, fastest_precision


def network_alone(deblurrer: Deblurrer, picture, repeats: int) -> list[float]:
    """Seconds of each call."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        deblurrer.deblur(picture)
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="color", choices=MODELS)
    parser.add_argument("--pictures", type=int, default=30, help="how many (default: 30)")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: the fastest here")
    options = parser.parse_args()
    precision = options.precision or fastest_precision()
    deblurrer = Deblurrer(create_model(options.model, dtype=PRECISIONS[precision]))
    picture = cv2.resize(skimage.data.coffee(), (1280, 720), interpolation=cv2.INTER_CUBIC)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for i in range(options.pictures):
            write_image(folder / "in" / f"{i:03}.png", picture)
        jobs = find_jobs(folder / "in", folder / "out")
        deblurrer.deblur(picture)  # first allocations
        alone = network_alone(deblurrer, picture, 8)
        start = time.perf_counter()
        results = list(deblur_files(deblurrer, jobs))
        seconds = (time.perf_counter() - start) / len(results)
        alone += network_alone(deblurrer, picture, 8)
    assert all(result.restored for result in results)
    own = statistics.median(alone)
    print(f"{options.model}, {precision}, {options.pictures} PNGs of 1280x720")
    print(f"  network alone  {own:.3f} s a picture ({min(alone):.3f} to {max(alone):.3f})")
    print(f"  from and to files  {seconds:.3f} s a picture: {100 * own / seconds:.1f}% of its rate")


if __name__ == "__main__":
    main()
