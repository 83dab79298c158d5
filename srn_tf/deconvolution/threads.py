"""Work on parts of a picture at the same time."""

import concurrent.futures

from scipy import fft


def in_threads(function, *arguments) -> list:
    """`list(map(function, *arguments))`, on as many threads as `scipy.fft.set_workers` has set for
    this one; the transforms inside have a thread each."""
    threads = fft.get_workers()
    if threads == 1:
        return list(map(function, *arguments))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, *arguments))
