"""A server from its start to its end."""

import asyncio
import functools
import logging
import socket
import tempfile
import time

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from srn_tf.atomic import temporary_folder
from srn_tf.restoration.deblurrer import batch_size_here
from srn_tf.service import methods
from srn_tf.service.address import address_of
from srn_tf.service.app import Service, create_app
from srn_tf.service.config import ServiceConfig
from srn_tf.service.visits import Visits
from srn_tf.service.worker import Workers, on_devices

_HEADER_SECONDS = 10  # that a client may take for the headers of a request
_LEFT = 1.0  # seconds of the grace, for what is to be done after the last answer


def serve(config: ServiceConfig, bound: socket.socket, say=print) -> bool:
    """Serves until SIGTERM or SIGINT; then finishes what is at work and refuses the rest.

    Args:
        config: of the server.
        bound: as `listen` gives it.
        say: is told the address when the server answers.

    Returns:
        Whether all that was at work was finished within `config.grace` seconds.

    Raises:
        UserError: if the first method cannot be used.
        OSError: if there is no place for temporary files.
    """
    # It would print of each malformed form what the client is told.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    offered = methods.available(config.checkpoint)
    create = functools.partial(methods.create, config=config)
    with temporary_folder(tempfile.gettempdir()) as folder:
        first = next(iter(offered.values()))
        workers = Workers(on_devices(), create, config.batch_size or batch_size_here(), first)
        service = Service(config, offered, workers, Visits(folder, config))
        server = _Server(config, service, functools.partial(say, address_of(bound)))
        server.run(sockets=[bound])
        workers.drain()
        return workers.join(server.deadline - time.monotonic())


class _Server(uvicorn.Server):
    """Tells when it answers, and drains the service at the first signal."""

    def __init__(self, config: ServiceConfig, service: Service, on_started):
        super().__init__(
            uvicorn.Config(
                create_app(service),
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, int(config.grace - _LEFT)),
            )
        )
        self._service, self._on_started, self._grace = service, on_started, config.grace
        self.deadline = time.monotonic()  # if it does not even start

    async def startup(self, sockets=None):
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_started()

    def handle_exit(self, sig, frame):
        # Not recorded, so that it is not raised again: the end that it asked for is an orderly one.
        if self.should_exit:
            self.force_exit = True
            return
        self.should_exit = True
        self.deadline = time.monotonic() + self._grace - _LEFT / 2
        self._loop.call_soon_threadsafe(self._service.drain)


class _Protocol(H11Protocol):
    """Closes connections on which no request comes, or too slowly."""

    _timer = None

    def connection_made(self, transport):
        super().connection_made(transport)
        self._watch()

    def data_received(self, data):
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc):
        super().connection_lost(exc)
        if self._timer:
            self._timer.cancel()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _watch(self):
        if self._timer is None and self._is_idle():
            self._timer = self.loop.call_later(_HEADER_SECONDS, self._close_if_idle)

    def _close_if_idle(self):
        self._timer = None
        if self._is_idle():
            self.transport.close()
