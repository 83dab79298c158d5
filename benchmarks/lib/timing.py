"""How long calls take, measured in turn.

The first call of each alternative stands apart (tracing, compilation, first allocations), a second
warms up, and the steady state is the median of three or more others, with the spread from shortest
to longest.
Alternatives take turns, so that a machine that slows down slows all of them. Each can live in a
process of its own (`Worker`), with its own Keras backend and its own peak of memory.
"""

import argparse
import contextlib
import dataclasses
import multiprocessing
import os
import pathlib
import re
import statistics
import time
import traceback

from srn_tf.networks.configs import model_config

TURN = 0.5  # seconds
ROUNDS = 3  # at least


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
