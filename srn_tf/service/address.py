"""The address of a server; what is wrong with it is told before TensorFlow takes its seconds."""

import socket

from srn_tf import UserError
from srn_tf.service.config import ServiceConfig


def listen(config: ServiceConfig) -> socket.socket:
    """The socket of a server, bound and not yet listening.

    Raises:
        UserError: if that cannot be.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise UserError(f"{config.host}:{config.port}: {error.strerror}") from None
    return bound


def address_of(bound: socket.socket) -> str:
    """Where a browser finds the server."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
