"""How long calls take, measured in turn, and what is kept of it: tables and JSON files.

The first call of each alternative stands apart (tracing, compilation, first allocations), a second
warms up, and the steady state is the median of three or more others, with the spread from shortest
to longest.
Alternatives take turns, so that a machine that slows down slows all of them. Each can live in a
process of its own (`Worker`), with its own Keras backend and its own peak of memory.
"""

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import multiprocessing
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time
import traceback

from srn_tf.atomic import atomic_file
from srn_tf.networks.configs import model_config

TURN = 0.5  # seconds
ROUNDS = 3  # at least
RESULTS = pathlib.Path(__file__).parent / "results"
# Packages whose versions tell what was measured.
_PACKAGES = (
    *("srn_tf", "tensorflow", "keras", "jax", "jaxlib", "torch", "openvino"),
    *("onnxruntime", "ai-edge-litert", "numpy", "opencv-python-headless"),
    *("jax-cuda12-plugin", "jax-cuda13-plugin", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13"),
)
# Environment variables that change what is measured.
_SETTINGS = re.compile(
    r"(XLA|ONEDNN|DNNL|OMP|MKL|KMP|MALLOC|JAX|TORCHINDUCTOR)_|TF_(?!CLI_|CPP_)|LD_PRELOAD"
    r"|GLIBC_TUNABLES|CUDA_VISIBLE_DEVICES|NVIDIA_TF32_OVERRIDE"
)


@dataclasses.dataclass
class Timing:
    """Seconds of the calls of one alternative."""

    first: float
    steady: list[float] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.steady)

    def row(self) -> dict[str, float]:
        """As JSON files and tables have it, in seconds."""
        steady = {"median": self.median, "min": min(self.steady), "max": max(self.steady)}
        seconds = {"first": self.first, **steady}
        return {name: float(f"{value:.4g}") for name, value in seconds.items()} | {
            "calls": len(self.steady)
        }


def measure(
    calls: dict, repeats: int, seconds: float = float("inf"), left_out=None
) -> dict[str, Timing]:
    """Times alternatives in turn.

    A turn is one call, or where calls are short as many as fill `TURN`; then the first is not
    counted, in which caches and threads come back from the others.

    Args:
        calls: name -> function that returns only when its work is done.
        repeats: rounds, after the first call of each and one to warm up.
        seconds: after three rounds no further one is begun when they have taken this long.
        left_out: is told the name and the error of a first call that raises RuntimeError, and the
            others go on; without it the error does.
    """
    timings = {}
    for name, call in calls.items():
        try:
            timings[name] = Timing(_seconds(call))
        except RuntimeError as error:
            if not left_out:
                raise
            left_out(name, error)
    calls = {name: calls[name] for name in timings}
    for call in calls.values():
        call()
    begin = time.perf_counter()
    for i in range(repeats):
        if i >= ROUNDS and time.perf_counter() - begin > seconds:
            break
        for name, call in calls.items():
            turn = [_seconds(call)]
            while sum(turn) < TURN:
                turn.append(_seconds(call))
            timings[name].steady += turn[1:] or turn
    return timings


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Worker:
    """A function to call again and again, that lives in a process of its own.

    Args:
        make: a function at the top of a module; called there with `args`, it gives the function.
        environment: variables to set in that process, such as KERAS_BACKEND.

    Raises:
        RuntimeError: there or when called, if the function raises; with what it said.
    """

    def __init__(self, make, *args, environment: dict[str, str] | None = None):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, args), daemon=True)
        before = dict(os.environ)
        os.environ.update(environment or {})
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        self._peak = self._receive()

    def __call__(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended: told of below
            self._pipe.send(None)
        self._peak = self._receive()

    @property
    def peak_gb(self) -> float:
        """The most that its process has held, in GB (10^9 bytes)."""
        return self._peak / 1e9

    def close(self) -> None:
        self._pipe.close()
        self._process.join()

    def _receive(self) -> int:
        try:
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            raise RuntimeError(f"the process ended with {self._process.exitcode}") from None
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer


def _serve(pipe, make, args) -> None:
    try:
        call = make(*args)
        while True:
            pipe.send(_peak_memory())
            pipe.recv()
            call()
    except EOFError:  # closed
        pass
    except Exception:
        pipe.send(traceback.format_exc(limit=-3))


def _peak_memory() -> int:
    """The most that this process has held, in bytes. (getrusage tells that of its parent, too.)"""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])


def overrides_of(options, *names: str) -> dict:
    """The options of a network that were given in place of the model's own."""
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


def checked_config(parser: argparse.ArgumentParser, options, name: str):
    """The configuration of a network, with what was given in place of its own."""
    try:
        return model_config(name, **overrides_of(options, "kernel_size", "blocks"))
    except (ValueError, TypeError) as error:
        parser.error(f"{name}: {error}")


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def without_gpu() -> None:
    """Hides GPUs from this process and those it starts, before they look for them."""
    os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}


def _printed(*command: str) -> str:
    """What a program printed; empty where there is no such program, or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit() -> str:
    """The state of what is measured, as git names it; results do not count."""
    git = ("git", "-C", str(RESULTS))
    changed = _printed(*git, "status", "--porcelain", "--", ":/srn_tf", ":/benchmarks/*.py")
    return _printed(*git, "describe", "--always", "--abbrev=12") + ("-dirty" if changed else "")


def machine() -> dict:
    """What was measured on."""
    processor = platform.processor() or platform.machine()
    flags: set[str] = set()
    if (path := pathlib.Path("/proc/cpuinfo")).is_file():
        fields = dict(
            (part.strip() for part in line.split(":", 1))
            for line in path.read_text().split("\n\n")[0].splitlines()
        )
        processor, flags = fields.get("model name", processor), set(fields.get("flags", "").split())
    return {
        "processor": processor,
        "cores": cores(),
        "extensions": sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "gpus": _printed(
            *("nvidia-smi", "--format=csv,noheader"),
            "--query-gpu=name,memory.total,driver_version",
        ).splitlines(),
    }


def write_results(
    name: str,
    options: argparse.Namespace,
    rows: list[dict],
    complete: bool = True,
    settings: dict[str, str] | None = None,
    **more,
) -> None:
    """Writes the rows of a benchmark to `--output`, by default results/<name>.json.

    Called after each part of a long run, not `complete`, so that what was measured is kept.
    `settings` are variables of the environment, beside those of this process.
    """
    own_settings = {name: os.environ[name] for name in filter(_SETTINGS.match, os.environ)}
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    command = ["python", f"benchmarks/{pathlib.Path(sys.argv[0]).name}", *sys.argv[1:]]
    results = {
        "benchmark": name,
        "command": " ".join(command),
        "complete": complete,
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "settings": own_settings | (settings or {}),
        "versions": {"python": platform.python_version(), **versions},
        **more,
        "rows": rows,
    }
    path = options.output or RESULTS / f"{name}.json"
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n")


def arguments(doc: str) -> argparse.ArgumentParser:
    """A parser of what all benchmarks take."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=pathlib.Path, help="JSON file to write (default: benchmarks/results/)"
    )
    return parser


# What a row of timings shows, for `table`.
SECONDS = {"median s": "{median:.4g}", "min": "{min:.4g}", "max": "{max:.4g}"}


def table(rows: list[dict], columns: dict[str, str]) -> str:
    """A table in Markdown with aligned columns.

    Args:
        rows: of values by name.
        columns: heading -> what stands below it, as a format of a row's values; empty where the
            row lacks one of them.
    """

    def cell(form, row) -> str:
        try:
            return form.format_map(row)
        except KeyError:
            return ""

    lines = [list(columns), *([cell(form, row) for form in columns.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines = [[text.ljust(n) for text, n in zip(line, widths, strict=True)] for line in lines]
    lines.insert(1, ["-" * n for n in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
