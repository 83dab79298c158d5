"""The batches of `examples.make_batch`, made ahead by processes of their own.

For training without tf.data. On a GPU a step takes less time than the blur of its batch, and
threads would have to wait for Python's lock. The processes import neither TensorFlow nor JAX.
"""

import collections
import concurrent.futures
import contextlib
import functools
import signal
import threading

import numpy as np

from srn_tf.data.config import DataConfig
from srn_tf.data.examples import make_batch
from srn_tf.data.pool import cores, process_pool
from srn_tf.data.sources import create_source

_AHEAD = 3  # batches made or being made, for each process


class BatchProcesses:
    """The batches of the steps after `first` up to `last`.

    A context manager: the processes begin and end with it; they end with this one, too, if it is
    killed.

    Args:
        config: of the examples.
        batch_size: examples a step.
        seed: of order and crops.
        first, last: steps.
        processes: how many; 0: one for each core that this process may use.

    Iterating gives what `examples.make_batch` does. It raises what the source raises, and OSError
    if a process died.
    """

    def __init__(
        self,
        config: DataConfig,
        batch_size: int,
        seed: int,
        first: int,
        last: int,
        processes: int = 0,
    ):
        self._pool = process_pool(processes)
        self._submitted = (
            self._pool.submit(
                _make, config, seed, range(step * batch_size, (step + 1) * batch_size)
            )
            for step in range(first, last)
        )
        self._wanted = _AHEAD * (processes or cores())
        self._ahead = collections.deque()

    def __enter__(self):
        try:
            with _ctrl_c_ignored():
                self._submit()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self):
        return self

    def __next__(self) -> np.ndarray:
        self._submit()
        if not self._ahead:
            raise StopIteration
        with _one_line_error():
            return self._ahead.popleft().result()

    def _submit(self) -> None:
        with _one_line_error():
            while len(self._ahead) < self._wanted and (future := next(self._submitted, None)):
                self._ahead.append(future)


@contextlib.contextmanager
def _one_line_error():
    try:
        yield
    except concurrent.futures.BrokenExecutor:
        raise OSError("a process that makes the batches has died; was memory short?") from None


@contextlib.contextmanager
def _ctrl_c_ignored():
    """Processes begun inside leave Ctrl-C, which reaches them too, to this one."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread alone
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


_source = functools.lru_cache(1)(functools.partial(create_source, check=False))


def _make(config: DataConfig, seed: int, positions) -> np.ndarray:
    return make_batch(_source(config), positions, seed)
