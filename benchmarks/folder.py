"""How near a folder of pictures comes to the network's own rate: files read, restored, written.

Photographs of 1280x720 with the noise of a camera, as PNG in a temporary folder, restored with the
weights that come with srn_tf (or --checkpoint). Whole commands are timed, start to end, on one
picture and on all of them: the difference is what a further picture costs, the rest is what it
costs to start. The network alone is timed before and after each round, because machines drift.
"""

import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np
import skimage.data
from lib.results import SECONDS, arguments, table, write_results
from lib.timing import without_gpu

from srn_tf.images.rgb import write_image
from srn_tf.options import PRECISIONS
from srn_tf.restoration.deblurrer import Deblurrer, fastest_precision

ROOT = pathlib.Path(__file__).resolve().parent.parent


def seconds_of_command(options, inputs: pathlib.Path, outputs: pathlib.Path) -> float:
    """Seconds that `srn-test` takes from its start to its end."""
    command = [sys.executable, ROOT / "test.py", f"--precision={options.precision}"]
    command += [f"--input_path={inputs}", f"--output_path={outputs}"]
    if options.checkpoint:
        command.append(f"--checkpoint={options.checkpoint}")
    shutil.rmtree(outputs, ignore_errors=True)
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--checkpoint", help="as for test.py; default: the weights shipped")
    parser.add_argument("--pictures", type=int, default=30, help="how many (default: 30)")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: the fastest here")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default: 3)")
    options = parser.parse_args()
    if options.pictures < 2:
        parser.error(f"--pictures must be 2 or more, not {options.pictures}")
    without_gpu()
    options.precision = options.precision or fastest_precision()
    deblurrer = Deblurrer(options.checkpoint, options.precision)
    picture = cv2.resize(skimage.data.coffee(), (1280, 720), interpolation=cv2.INTER_CUBIC)

    def network_alone() -> float:
        start = time.perf_counter()
        deblurrer.deblur(picture)
        return time.perf_counter() - start

    network_alone()  # first allocations
    alone, single, whole = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rng = np.random.default_rng(0)
        for i in range(options.pictures):
            noisy = picture + rng.normal(0, 2, picture.shape)
            noisy = np.rint(noisy).clip(0, 255).astype(np.uint8)
            write_image(folder / "in" / f"{i:03}.png", noisy)
        for _ in range(options.repeats):
            alone += [network_alone() for _ in range(4)]
            single.append(seconds_of_command(options, folder / "in" / "000.png", folder / "one"))
            whole.append(seconds_of_command(options, folder / "in", folder / "all"))
            alone += [network_alone() for _ in range(4)]
    further = [(w - s) / (options.pictures - 1) for s, w in zip(single, whole, strict=True)]
    rows = [
        {
            "what": name,
            "median": statistics.median(values),
            "min": min(values),
            "max": max(values),
            "calls": len(values),
            "pictures_per_second": round(pictures / statistics.median(values), 3),
        }
        for name, pictures, values in [
            ("network alone, a picture", 1, alone),
            ("command, one picture", 1, single),
            (f"command, {options.pictures} pictures", options.pictures, whole),
            ("command, each further picture", 1, further),
        ]
    ]
    share = rows[0]["median"] / rows[-1]["median"]
    print(f"{options.precision}, PNGs of 1280x720, seconds")
    print(table(rows, {"": "{what}", **SECONDS, "pictures/s": "{pictures_per_second}"}))
    print(f"further pictures: {share:.0%} of the network's own rate")
    checkpoint = {"checkpoint": options.checkpoint or "the weights shipped"}
    checkpoint |= {"precision": options.precision, "of_network": round(share, 3)}
    write_results("folder", options, rows, **checkpoint)


if __name__ == "__main__":
    main()
