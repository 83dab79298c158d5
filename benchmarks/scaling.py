"""Time and memory of one picture, from 0.25 to 33 megapixels, as a table and a plot.

Each size runs in a process of its own, as the package runs it: in tiles where the picture is larger
than one. Beside it is the network on the whole picture at once, up to --whole megapixels.
"""

import math
import pathlib

from lib.results import SECONDS, arguments, table, write_results
from lib.timing import Worker, measure, overrides_of, without_gpu

from srn_tf.atomic import atomic_file
from srn_tf.networks.configs import MODELS
from srn_tf.options import PRECISIONS

MEGAPIXELS = (0.25, 0.5, 1, 2, 4, 8, 16, 33)
COLUMNS = {
    "": "{what:8}",
    "picture": "{width:4}x{height:4}",
    "first s": "{first:6.3g}",
    **SECONDS,
    "s a megapixel": "{a_megapixel:.3f}",
    "peak GB": "{peak_gb:.1f}",
}
WHOLE = 1 << 20  # pixels: a side that no picture here has


def shape_of(megapixels: float) -> tuple[int, int]:
    """(height, width) of a picture of 16 to 9 with so many pixels, multiples of 16."""
    height = math.sqrt(megapixels * 1e6 * 9 / 16)
    return round(height / 16) * 16, round(height * 16 / 9 / 16) * 16


def make_call(name: str, overrides: dict, precision: str, shape, tile: int | None):
    """Restores a picture of 8 bits."""
    import numpy as np

    from srn_tf import Deblurrer, create_model

    model = create_model(name, dtype=precision, **overrides)
    deblurrer = Deblurrer(model, tile=tile)
    picture = np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)
    return lambda: deblurrer.deblur(picture)


def draw(path, rows) -> None:
    """Seconds and peak memory over the size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for kind, marker in (("in tiles", "o"), ("whole", "x")):
        chosen = [row for row in rows if row["what"] == kind]
        sizes = [row["megapixels"] for row in chosen]
        time_axes.plot(sizes, [row["median"] for row in chosen], marker=marker, label=kind)
        memory_axes.plot(sizes, [row["peak_gb"] for row in chosen], marker=marker, label=kind)
    time_axes.set(ylabel="seconds a picture", yscale="log")
    memory_axes.set(ylabel="peak memory of the process, GB", ylim=(0, None))
    for axes in (time_axes, memory_axes):
        axes.set(xlabel="megapixels", xscale="log")
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", default="color", choices=MODELS)
    parser.add_argument("--kernel_size", type=int, help="instead of the model's own")
    parser.add_argument("--precision", default="bfloat16", choices=PRECISIONS)
    parser.add_argument("--megapixels", nargs="+", type=float, default=MEGAPIXELS)
    parser.add_argument(
        "--whole", type=float, default=8.0, help="largest in one piece, megapixels (default: 8)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="timed calls each (default: 3)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=30,
        help="after three calls no further one after this long (default: 30)",
    )
    parser.add_argument("--figure", type=pathlib.Path, help="picture to draw (default: none)")
    options = parser.parse_args()
    overrides = overrides_of(options, "kernel_size")
    environment = {"KERAS_BACKEND": "tensorflow"}
    without_gpu()
    rows = []
    for megapixels in options.megapixels:
        shape = shape_of(megapixels)
        kinds = {"in tiles": None} | ({"whole": WHOLE} if megapixels <= options.whole else {})
        for kind, tile in kinds.items():
            # One at a time: how large a tile is depends on the memory that is free.
            args = (make_call, options.model, overrides, options.precision, shape, tile)
            call = Worker(*args, environment=environment)
            (timing,) = measure({kind: call}, options.repeats, options.seconds).values()
            call.close()
            row = {"what": kind, "precision": options.precision, "megapixels": megapixels}
            row |= {"height": shape[0], "width": shape[1], **timing.row()}
            row |= {"a_megapixel": round(timing.median * 1e6 / shape[0] / shape[1], 4)}
            rows.append(row | {"peak_gb": round(call.peak_gb, 2)})
            print(table(rows[-1:], COLUMNS).splitlines()[2], flush=True)
            write_results("scaling", options, rows, complete=False)
    sizes = {"model": options.model, **overrides, "precision": options.precision}
    write_results("scaling", options, rows, **sizes)
    print(f"\n{options.model}, {options.precision}\n{table(rows, COLUMNS)}")
    if options.figure:
        draw(options.figure, rows)


if __name__ == "__main__":
    main()
