"""What `srn-serve` adds to the network: a picture of 1280x720 over HTTP, and 200 requests at once.

The network alone, in this process, and the server, in its own, take turns, because machines drift.
The picture is a PNG with the noise of a camera. Then --requests pictures of 64x48 come at once; the
largest memory of the server is that since its start.
"""

import concurrent.futures
import io
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
import urllib.request

import cv2
import numpy as np
import skimage.data
from lib.results import SECONDS, arguments, table, write_results
from lib.timing import without_gpu
from PIL import Image

from srn_tf.restoration.deblurrer import Deblurrer

ROOT = pathlib.Path(__file__).resolve().parent.parent
_SERVE = "import sys; from srn_tf.cli.serve import main; sys.exit(main(sys.argv[1:]))"


def noisy(width: int, height: int, seed: int) -> np.ndarray:
    """A photograph with the noise of a camera, uint8 [height, width, 3]."""
    picture = cv2.resize(skimage.data.coffee(), (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(seed).normal(0, 2, picture.shape)
    return np.rint(picture + noise).clip(0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_memory(process: int) -> float:
    """Of a process since its start, in GB."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e9


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--checkpoint", help="as for srn-serve; default: the weights shipped")
    parser.add_argument("--requests", type=int, default=200, help="at once (default: 200)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: 5)")
    options = parser.parse_args()
    without_gpu()
    words = [f"--checkpoint={options.checkpoint}"] if options.checkpoint else []
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVE, "--port=0", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        address = f"{server.stdout.readline().split()[1]}/api/restore"

        def post(content: bytes) -> bytes:
            with urllib.request.urlopen(urllib.request.Request(address, content)) as answer:
                return answer.read()

        deblurrer, large = Deblurrer(options.checkpoint), noisy(1280, 720, 0)
        encoded = png(large)
        calls = {
            "network alone, 1280x720": lambda: deblurrer.deblur(large),
            "API, PNG of 1280x720": lambda: post(encoded),
        }
        timings = {name: [] for name in calls}
        for call in calls.values():
            call()  # first allocations
        for _ in range(options.repeats):
            for name, call in calls.items():
                timings[name].append(seconds(call))
        small = [png(noisy(64, 48, seed)) for seed in range(options.requests)]
        with concurrent.futures.ThreadPoolExecutor(options.requests) as clients:
            name = f"API, {options.requests} of 64x48 at once"
            timings[name] = [seconds(lambda: list(clients.map(post, small)))]
        memory = peak_memory(server.pid)
    finally:
        server.terminate()
        server.wait()
    rows = [
        {
            "what": name,
            "median": statistics.median(values),
            "min": min(values),
            "max": max(values),
            "calls": len(values),
        }
        for name, values in timings.items()
    ]
    alone, api, _ = (statistics.median(values) for values in timings.values())
    print(table(rows, {"": "{what}", **SECONDS}))
    print(f"the API adds {api / alone - 1:.1%}; largest memory of the server: {memory:.2f} GB")
    facts = {"checkpoint": options.checkpoint or "the weights shipped"}
    write_results("service", options, rows, **facts, peak_memory_gb=round(memory, 2))


if __name__ == "__main__":
    main()
