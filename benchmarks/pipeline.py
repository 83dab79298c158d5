"""Training pairs a second, from files to float32 batches: list of PNGs, of JPEGs, store, synthesis.

Pictures of 1280x720 with the noise of a camera, in a temporary folder; they are few, and come from
the system's page cache. Beside the lists: the same pictures read and decoded by as many threads as
there are cores, and nothing else done to them. Synthesis also by the processes that feed JAX, to
uint8 batches. All in turn, again and again, because machines drift.
"""

import concurrent.futures
import itertools
import pathlib
import statistics
import tempfile
import time

import cv2
import numpy as np
import skimage.data
from lib.results import arguments, table, write_results
from lib.timing import cores, without_gpu

from srn_tf.data.config import DataConfig
from srn_tf.data.packed import PackedSource, pack
from srn_tf.data.pair_list import PairSource
from srn_tf.data.photographs import SyntheticSource
from srn_tf.data.pipeline import Batches
from srn_tf.data.processes import BatchProcesses
from srn_tf.images.rgb import write_image

WARM_UP = 6  # batches: what is read ahead, and TensorFlow's choice of how many threads


def write_pairs(folder: pathlib.Path, extension: str, pairs: int) -> pathlib.Path:
    """Writes pictures and their list; gives the list."""
    rng = np.random.default_rng(0)
    photo = cv2.resize(skimage.data.coffee(), (1280, 720), interpolation=cv2.INTER_CUBIC)
    lines = []
    for i in range(pairs):
        names = [f"{extension}/{side}/{i}.{extension}" for side in ("sharp", "blur")]
        for name, deviation in zip(names, (3, 1), strict=True):
            noisy = photo + rng.normal(0, deviation, photo.shape)
            write_image(folder / name, np.rint(noisy).clip(0, 255).astype(np.uint8))
        lines.append(" ".join(names))
    path = folder / f"{extension}.txt"
    path.write_text("\n".join(lines))
    return path


def timed(pairs: int, work) -> tuple[float, float]:
    """Pairs a second by the clock, and a second of processor time; `work` goes through them."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return pairs / (time.perf_counter() - clock), pairs / (time.process_time() - processor)


def through_pipeline(source, options) -> tuple[float, float]:
    """What comes out of the pipeline when nothing else is done."""
    stream = iter(Batches(source, options.batch_size, channels=3, seed=0))
    count = max(4, round(options.seconds * one_thread(source) / options.batch_size))

    def work(batches):
        for _ in itertools.islice(stream, batches):
            pass

    work(WARM_UP)
    rates = timed(count * options.batch_size, lambda: work(count))
    stream.close()
    used = 1.0
    while used > 0.01:  # what was read ahead must not weigh on the next measurement
        start = time.process_time()
        time.sleep(0.1)
        used = time.process_time() - start
    return rates


def through_processes(folder, source, options) -> tuple[float, float]:
    """What comes out of the processes that feed JAX; their processor time is not known here."""
    count = max(4, round(options.seconds * one_thread(source) / options.batch_size))
    config = DataConfig(sharp_path=str(folder), crop_size=options.crop_size)
    warm_up = 3 * cores() + WARM_UP
    with BatchProcesses(config, options.batch_size, 0, 0, 2 * warm_up + count) as batches:
        for _ in itertools.islice(batches, warm_up):
            pass
        rate, _ = timed(count * options.batch_size, lambda: list(itertools.islice(batches, count)))
        return rate, float("nan")


def decoding(source: PairSource, options) -> tuple[float, float]:
    """Pairs read and decoded by all cores."""
    count = max(2 * cores(), round(options.seconds * cores() * one_thread(source)))

    def read(index):
        source.read(index % len(source))

    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        return timed(count, lambda: list(pool.map(read, range(count))))


def one_thread(source) -> float:
    """Pairs a second of one thread, roughly."""
    start = time.perf_counter()
    for index in range(4):
        source.example(index, np.random.default_rng(index))
    return 4 / (time.perf_counter() - start)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=24, help="in each list (default: 24)")
    parser.add_argument("--batch_size", type=int, default=16, help="crops a step (default: 16)")
    parser.add_argument("--crop_size", type=int, default=256, help="pixels (default: 256)")
    parser.add_argument("--repeats", type=int, default=7, help="rounds (default: 7)")
    parser.add_argument("--seconds", type=float, default=2, help="of each, roughly (default: 2)")
    options = parser.parse_args()
    without_gpu()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        lists = {kind: write_pairs(folder, kind, options.pairs) for kind in ("png", "jpg")}
        png, jpg = (PairSource(path, folder, options.crop_size) for path in lists.values())
        pack(png, folder / "pairs.npz")
        packed = PackedSource(folder / "pairs.npz", options.crop_size)
        synthetic = SyntheticSource(folder / "jpg" / "sharp", options.crop_size, max_blur=16)
        rows = {
            "PNG, decoding alone": lambda: decoding(png, options),
            "PNG list": lambda: through_pipeline(png, options),
            "JPEG, decoding alone": lambda: decoding(jpg, options),
            "JPEG list": lambda: through_pipeline(jpg, options),
            "packed": lambda: through_pipeline(packed, options),
            "synthetic blur, JPEG": lambda: through_pipeline(synthetic, options),
            "the same, for JAX": lambda: through_processes(
                folder / "jpg" / "sharp", synthetic, options
            ),
        }
        rates = {name: [] for name in rows}
        for _ in range(options.repeats):
            for name, measure in rows.items():
                rates[name].append(measure())
    rows = []
    for name, values in rates.items():
        clock, processor = zip(*values, strict=True)
        numbers = {"median": statistics.median(clock), "min": min(clock), "max": max(clock)}
        if not np.isnan(processor).any():
            numbers |= {"a_processor_second": statistics.median(processor)}
        row = {"what": name, "repeats": len(values)}
        row |= {key: round(number, 1) for key, number in numbers.items()}
        if name.endswith("list"):
            alone = rates[name.replace(" list", ", decoding alone")]
            share, _ = np.median(np.divide(values, alone), axis=0)
            row |= {"of_decoding": round(share, 3)}
        rows.append(row)
    print(f"pairs of {options.crop_size}x{options.crop_size} a second, {cores()} cores")
    columns = {"": "{what}", "median": "{median}", "min": "{min}", "max": "{max}"}
    columns |= {"a processor second": "{a_processor_second}"}
    print(table(rows, columns | {"of decoding alone": "{of_decoding:.0%}"}))
    write_results("pipeline", options, rows, crop_size=options.crop_size)


if __name__ == "__main__":
    main()
