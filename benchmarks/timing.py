"""How long a call takes: warm-up apart, several alternatives in turn, median and spread."""

import statistics
import time


def measure(calls: dict, repeats: int) -> dict[str, list[float]]:
    """Times alternatives one after the other, again and again, so that a drifting machine hits all.

    Args:
        calls: name -> function that returns only when its work is done.
        repeats: how often each is timed, after one call that is not (tracing, first allocations).

    Returns:
        name -> seconds of each call.
    """
    for call in calls.values():
        call()
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def print_table(title: str, seconds: dict[str, list[float]]) -> None:
    """Prints median, spread, and how many times faster than the first row each is."""
    print(title)
    width = max(map(len, seconds))
    print(f"  {'':{width}} {'median s':>9} {'min':>8} {'max':>8} {'speed-up':>9}")
    first = statistics.median(next(iter(seconds.values())))
    for name, values in seconds.items():
        median = statistics.median(values)
        spread = f"{min(values):8.3f} {max(values):8.3f}"
        print(f"  {name:{width}} {median:9.3f} {spread} {first / median:8.2f}x")
