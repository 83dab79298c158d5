"""Alternatives of a network beside each other, and beside the matmuls of their precision."""

import contextlib
import importlib.util
import re
import sys

from lib.results import SECONDS
from lib.timing import Worker, measure

MATMUL = 4096  # side of the matrices, where nothing else is asked for
# Otherwise glibc gives memory of 32 MiB or more back to the system each time, and takes it anew:
# PyTorch's guide to tuning says to avoid that.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
COLUMNS = {
    "": "{what}",
    "precision": "{precision}",
    "first s": "{first:.3g}",
    **SECONDS,
    "TFLOP/s": "{tflops:.2f}",
    "of matmul": "{of_matmul:.0%}",
    "peak GB": "{peak_gb:.1f}",
    "time / ours": "{ratio:.2f}",
}


def make_matmul(side: int, precision: str):
    from lib.backends import matmul

    return matmul(side, precision)


def compare(alternatives: dict, work: float, options) -> list[dict]:
    """Times alternatives in turn, each in a process of its own, beside matmuls.

    What cannot be made or called is told of and left out; without ours the run ends.

    Args:
        alternatives: (what, precision) -> (Keras backend, function that makes the call, its
            arguments); ours first.
        work: operations of one call.
        options: with `repeats`, `seconds` and `matmul`, the side of the matrices.

    Returns:
        A row for each, with TFLOP/s, the part of what the fastest matmul of its precision reaches,
        peak memory, and its time as a multiple of ours in that precision.
    """
    references: dict[str, str] = {}  # what the others of a precision are compared with
    for what, precision in alternatives:
        references.setdefault(precision, what)

    def failed(key, error) -> None:
        left_out(key, error)
        if key in alternatives and references[key[1]] == key[0]:
            sys.exit(f"without {', '.join(key)} there is nothing to compare with")

    installed = list(filter(importlib.util.find_spec, ("tensorflow", "torch"))) or ["jax"]
    ceilings = {
        (f"matmul, {backend}", precision): (backend, make_matmul, options.matmul, precision)
        for precision in references
        for backend in installed
    }
    with contextlib.ExitStack() as stack:
        calls = {}
        for key, (backend, *make) in (ceilings | alternatives).items():
            try:
                worker = Worker(*make, environment={"KERAS_BACKEND": backend, **MALLOC})
            except RuntimeError as error:
                failed(key, error)
                continue
            stack.callback(worker.close)
            calls[key] = worker
        timings = measure(calls, options.repeats, options.seconds, failed)
    rows = []
    for precision, ours in references.items():
        own = {what: timing for (what, other), timing in timings.items() if other == precision}
        speeds = {
            what: (2 * options.matmul**3 if what.startswith("matmul") else work) / timing.median
            for what, timing in own.items()
        }
        matmuls = [speed for what, speed in speeds.items() if what.startswith("matmul")]
        if not matmuls:
            sys.exit(f"{precision}: without a matmul there is nothing to compare with")
        for what, timing in own.items():
            row = {"what": what, "precision": precision, **timing.row()}
            row |= {"tflops": round(speeds[what] / 1e12, 3)}
            row |= {"of_matmul": round(speeds[what] / max(matmuls), 3)}
            row |= {"peak_gb": round(calls[what, precision].peak_gb, 2)}
            if not what.startswith("matmul"):
                row["ratio"] = round(timing.median / own[ours].median, 3)
            rows.append(row)
    return rows


def left_out(what: tuple[str, ...], why) -> None:
    """Tells what is not compared, and why: of a traceback, the line with the error."""
    last = str(why).strip().rpartition("Traceback (")[-1].splitlines()
    why = next((line for line in last if re.match(r"[\w.]+: ", line)), last[-1])
    print(f"left out: {', '.join(what)}: {why}", flush=True)
