"""Which devices train together, on TensorFlow's own engine (tf.distribute).

One device trains alone, several GPUs of one machine by themselves in a MirroredStrategy, several
machines in a MultiWorkerMirroredStrategy where the environment variable TF_CONFIG names them, as
Kubernetes and the clouds set it:

    {"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", "index": 0}}

Every device has a replica of the network and an equal share of each batch. The first worker is the
chief, the only one that reads and writes the run folder.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import threading
import time

import tensorflow as tf

from srn_tf import UserError
from srn_tf.training.config import TrainingConfig

_PATIENCE = 0.2  # between two looks for the other workers, in seconds


class Cluster:
    """The workers of a run, of which this process is one; see `loop.Devices`.

    To be made before any tensor.

    Attributes:
        strategy: in whose scope network and optimizer must be made.
        workers: how many there are.
        index: of this one, from 0.

    Raises:
        UserError: if TF_CONFIG cannot be understood, or this worker's address not be used.
    """

    def __init__(self):
        addresses, self.index = _addresses_and_index()
        self.workers = max(1, len(addresses))
        # It would tell of each collection of gradients.
        logging.getLogger("tensorflow").setLevel(logging.WARNING)
        if self.workers > 1:
            try:
                _wait_for_all(addresses, self.index)
                with _signals_kept():
                    self.strategy = tf.distribute.MultiWorkerMirroredStrategy()
            except (OSError, tf.errors.OpError) as error:
                reason = error.strerror if isinstance(error, OSError) else error.message
                reason = reason.splitlines()[0]
                raise UserError(
                    f"worker {self.index} cannot serve at its address ({reason}); is another "
                    f"process there? TF_CONFIG is {os.environ['TF_CONFIG']}"
                ) from None
        else:
            kinds = map(tf.config.list_logical_devices, ("GPU", "CPU"))
            devices = [device.name for device in next(filter(None, kinds))]
            mirrored = len(devices) > 1
            self.strategy = (
                tf.distribute.MirroredStrategy(devices)
                if mirrored
                else tf.distribute.get_strategy()
            )

    @property
    def scope(self):
        """In it network, optimizer and trainer must be made."""
        return self.strategy.scope

    def check(self, config: TrainingConfig) -> None:
        """Raises UserError for a batch that cannot be divided over the devices."""
        parts = self.replicas * config.accumulate
        if config.batch_size % parts:
            raise UserError(
                f"batch_size {config.batch_size} must be a multiple of {parts}: "
                f"devices {self.replicas}, accumulate {config.accumulate}"
            )

    @contextlib.contextmanager
    def one_line_errors(self, config: TrainingConfig):
        """Says in one line what TensorFlow says in many."""
        try:
            yield
        except (MemoryError, tf.errors.ResourceExhaustedError):
            raise UserError(config.out_of_memory) from None
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError):
            raise ConnectionError(
                f"worker {self.index} of {self.workers} lost another one; start all of them again "
                "with --resume"
            ) from None

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    @property
    def replicas(self) -> int:
        """Of the network, over all workers."""
        return self.strategy.num_replicas_in_sync

    @property
    def description(self) -> str:
        """Of the devices, for the user."""
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        workers = f" of {self.workers} workers" if self.workers > 1 else ""
        return f"{self.replicas} {kind}{'s' if self.replicas > 1 else ''}{workers}"

    def total(self, numbers: list) -> list:
        """The sums over all workers of the numbers that each gives."""
        if self.workers == 1:
            return numbers
        given = tf.constant([float(number) for number in numbers], tf.float64)
        return self._total(given).numpy().tolist()

    @tf.function(autograph=False)
    def _total(self, numbers):
        # Each replica of this worker gives its part of them.
        parts = self.strategy.run(lambda: numbers / replicas_here(self.strategy))
        return self.strategy.reduce("SUM", parts, axis=None)

    def copy_from_chief(self, variables) -> None:
        """Gives the variables of all workers the values they have at the chief."""
        if self.workers == 1:
            return

        @tf.function(autograph=False)
        def copy():
            context = tf.distribute.get_replica_context()
            for variable in variables:
                value = tf.convert_to_tensor(variable)
                is_first = context.replica_id_in_sync_group == 0
                given = tf.where(is_first, value, tf.zeros_like(value))
                variable.assign(context.all_reduce("SUM", given))

        self.strategy.run(copy)


def _wait_for_all(addresses: list[str], index: int) -> None:
    """Returns when all workers have started, of which this is number `index`.

    TensorFlow would wait for them, too, but deaf to Ctrl-C and SIGTERM. Whoever accepts connections
    has started, be it here or, a moment later, in TensorFlow.

    Raises:
        OSError: if this worker cannot listen at its port.
    """
    host, port = _host_and_port(addresses[index])
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    missing = [address for i, address in enumerate(addresses) if i != index]
    with socket.create_server(("", port), family=family, backlog=max(128, len(addresses))):
        while missing := [address for address in missing if not _answers(address)]:
            time.sleep(_PATIENCE)


def _answers(address: str) -> bool:
    try:
        socket.create_connection(_host_and_port(address), timeout=1).close()
    except OSError:
        return False
    return True


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


@contextlib.contextmanager
def _signals_kept():
    """TensorFlow takes SIGTERM for itself inside, and does nothing on it: whoever had the signals
    gets them back."""
    # Python handles signals in the main thread alone.
    main = threading.current_thread() is threading.main_thread()
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM) if main}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def replicas_here(strategy) -> int:
    """How many replicas of the network this worker has."""
    if strategy.num_replicas_in_sync == 1:
        return 1
    return len(strategy.extended.worker_devices)


def _addresses_and_index() -> tuple[list[str], int]:
    """The workers that TF_CONFIG names, and which of them this is; a chief is the first one."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return [], 0
    try:
        config = json.loads(text)
        names = {
            job: config["cluster"][job] for job in ("chief", "worker") if job in config["cluster"]
        }
        for job in names:
            if not isinstance(names[job], list) or not all(map(_is_address, names[job])):
                raise UserError(f"{job} must be a list of host:port")
        job, place = config["task"]["type"], int(config["task"]["index"])
        if other := config["cluster"].keys() - names.keys():
            raise UserError(f"a cluster of chief and worker is needed, not {', '.join(other)}")
        if not 0 <= place < len(names.get(job, [])):
            raise UserError(f"there is no {job} {place}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG cannot be understood ({error}): {text}") from None
    before = len(names.get("chief", [])) if job == "worker" else 0
    return [address for job in names for address in names[job]], place + before


def _is_address(text) -> bool:
    return isinstance(text, str) and text.rpartition(":")[2].isdecimal()
