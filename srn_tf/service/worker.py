"""The devices at work: what waits is taken in its order, equal pictures together.

Each device has one thread. While it restores, the pictures of its next group, if it waits already,
are read and those of the last are written by threads of their own; no more are held in memory.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import pathlib
import threading
from collections.abc import Callable

from srn_tf import UserError
from srn_tf.images.read import read_picture
from srn_tf.restoration.batch import BATCH_PIXELS, WAITING, restore_alike, write_restored
from srn_tf.service.methods import Method

_LOG = logging.getLogger("srn_tf")


class Draining(Exception):
    """The server is about to end, and begins nothing."""


class _Abandoned(BaseException):
    """Nobody waits for the group any more. No Exception, or its pictures would be tried alone."""


@dataclasses.dataclass(eq=False)
class Order:
    """One picture to restore.

    Attributes:
        source, target: files to read and to write.
        kind: what pictures must have in common to be restored at once.
        pixels: of the picture, how many.
        method, strength: how to restore it.
        quality: as of `write_picture`.
        max_megapixels: as of `read_picture`.
        done: becomes the notes of `write_restored`; may be cancelled.
        share: how much of the device's work on it is done, 0 to 1.
        abandoned: whether nobody waits for it any more.
    """

    source: pathlib.Path
    target: pathlib.Path
    kind: tuple
    pixels: int
    method: Method
    strength: float | None
    quality: int
    max_megapixels: float
    done: concurrent.futures.Future = dataclasses.field(
        default_factory=concurrent.futures.Future, init=False
    )
    share: float = dataclasses.field(default=0.0, init=False)
    abandoned: bool = dataclasses.field(default=False, init=False)

    @property
    def alike(self) -> tuple:
        return self.kind, self.method.name, self.strength

    def abandon(self) -> None:
        """Takes it out of the queue, or ends the work on it at the next tile."""
        self.abandoned = True
        self.done.cancel()


class Workers:
    """A thread for each device, and the queue before them.

    Args:
        scopes: for each device what puts it in scope, such as `lambda: tf.device("/GPU:0")`.
        create: (method, strength) -> what restores so, on the device in scope.
        batch_size: up to how many equal pictures a network gets at once.
        first: the method to be ready for.

    Raises:
        UserError, MemoryError: if `first` cannot be used.
    """

    def __init__(self, scopes, create: Callable, batch_size: int, first: Method):
        self._create, self._batch_size = create, batch_size
        self._waiting: collections.deque[Order] = collections.deque()
        self._change = threading.Condition()
        self._ends = False
        ready = [concurrent.futures.Future() for _ in scopes]
        self._threads = [
            # Daemons, so that a picture at work does not hold up the end of the process.
            threading.Thread(target=self._work, args=(*each, first), daemon=True)
            for each in zip(scopes, ready, strict=True)
        ]
        for thread in self._threads:
            thread.start()
        for each in ready:
            each.result()

    def submit(self, order: Order) -> None:
        """Puts a picture into the queue.

        Raises:
            Draining: if there is none any more.
        """
        with self._change:
            if self._ends:
                raise Draining
            self._waiting.append(order)
            self._change.notify()

    def ahead_of(self, order: Order) -> int:
        """How many wait before this one; -1 if it waits no more."""
        with self._change:
            return self._waiting.index(order) if order in self._waiting else -1

    def drain(self) -> None:
        """Refuses what waits and what comes, by Draining; what is at work is finished."""
        with self._change:
            self._ends = True
            refused = [order for order in self._waiting if _begins(order)]
            self._waiting.clear()
            self._change.notify_all()
        for order in refused:
            order.done.set_exception(Draining())

    def join(self, seconds: float) -> bool:
        """Waits for what is at work, after `drain`; whether all of it is done."""
        for thread in self._threads:
            thread.join(max(0.0, seconds / len(self._threads)))
        return not any(thread.is_alive() for thread in self._threads)

    def _take(self, wait: bool) -> list[Order]:
        """The oldest that waits and what is like it; [] if there is nothing, or at the end."""
        with self._change:
            while True:
                still = [order for order in self._waiting if not order.done.cancelled()]
                self._waiting = collections.deque(still)
                if self._waiting or self._ends or not wait:
                    break
                self._change.wait()
            if not self._waiting:
                return []
            first = self._waiting[0]
            room = min(self._batch_size, max(1, BATCH_PIXELS // first.pixels))
            if first.method.checkpoint is None:
                room = 1  # such a method gains nothing from company
            alike = [order for order in self._waiting if order.alike == first.alike][:room]
            for order in alike:
                self._waiting.remove(order)
            return [order for order in alike if _begins(order)]

    def _work(self, scope, ready, first: Method) -> None:
        groups = collections.deque()
        room = threading.Semaphore(2 * WAITING)  # restored pictures that wait to be written
        restorers = {}
        with scope(), _to(ready):
            restorers[first.name] = self._create(first, None)
            ready.set_result(None)
        if ready.exception():
            return
        with (
            scope(),
            concurrent.futures.ThreadPoolExecutor(WAITING) as readers,
            concurrent.futures.ThreadPoolExecutor(WAITING) as writers,
        ):
            while True:
                while len(groups) < 2 and (group := self._take(wait=not groups)):
                    reading = [readers.submit(_read, order) for order in group]
                    groups.append((group, reading))
                if groups:
                    self._restore(restorers, *groups.popleft(), writers, room)
                elif self._ends:
                    return

    def _restore(self, restorers: dict, orders, reading, writers, room) -> None:
        """Restores a group and has it written; each order gets its result or its exception."""
        read = []
        for order, future in zip(orders, reading, strict=True):
            with _to(order.done):
                read.append((order, future.result()))
        orders, pictures = [order for order, _ in read], [picture for _, picture in read]

        def on_tile(done, total):
            for order in orders:
                order.share = done / total
            if all(order.abandoned for order in orders):
                raise _Abandoned

        if not orders:
            return
        try:
            restorer = self._restorer(restorers, orders[0])
            restored, decisions, _ = restore_alike(restorer, pictures, on_tile)
        except BaseException as error:
            for order in orders:
                order.done.set_exception(error)
            return
        for order, picture, pixels, decision in zip(
            orders, pictures, restored, decisions, strict=True
        ):
            room.acquire()
            writing = writers.submit(_write, order, picture, pixels, decision)
            writing.add_done_callback(lambda _: room.release())

    def _restorer(self, restorers: dict, order: Order):
        """Networks are kept; what has none is made anew."""
        if order.method.checkpoint is None:
            return self._create(order.method, order.strength)
        if order.method.name not in restorers:
            restorers[order.method.name] = self._create(order.method, order.strength)
        return restorers[order.method.name]


def _begins(order: Order) -> bool:
    return order.done.set_running_or_notify_cancel()


@contextlib.contextmanager
def _to(future: concurrent.futures.Future):
    """What is raised inside becomes the future's."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, UserError | OSError | MemoryError | FloatingPointError):
            _LOG.error("%s", type(error).__name__, exc_info=error)  # a mistake of our own
        future.set_exception(error)


def _read(order: Order):
    return read_picture(order.source, order.max_megapixels)


def _write(order: Order, picture, pixels, decision) -> None:
    with _to(order.done):
        if isinstance(pixels, Exception):
            raise pixels
        notes = write_restored(order.target, picture, pixels, decision, order.quality)
        if order.abandoned:  # its files were removed, perhaps before this one was there
            order.target.unlink(missing_ok=True)
        order.done.set_result(notes)


def on_devices() -> list[Callable]:
    """The scopes of the devices of TensorFlow: each GPU, or the processor."""
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [functools.partial(tf.device, device.name) for device in devices]
