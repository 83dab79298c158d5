"""Processes for work on pictures: one thread each, and none outlives the process that began it."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading

import cv2


def process_pool(processes: int = 0) -> concurrent.futures.ProcessPoolExecutor:
    """So many processes; 0: one for each core that this process may use."""
    # Not forked, which would copy a process that has threads.
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(processes or cores(), context, _begin)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _begin() -> None:
    """What each process begins with."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is left to the parent

    def end_with_the_parent():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end_with_the_parent, daemon=True).start()
