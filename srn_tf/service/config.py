"""What a server is told: where it listens, what restores, and its limits."""

import dataclasses
import ipaddress
import pathlib

from srn_tf.options import check_rules

MB = 10**6
# Of all requests for which a token must be given, seconds of those that clients may take.
_LEAST_GRACE = 2.0


@dataclasses.dataclass(frozen=True)
class ServiceConfig:
    """A server.

    Attributes:
        host: name or address to listen on.
        port: to listen on; 0: one that is free.
        token: what requests must bring as `Authorization: Bearer TOKEN`; None: nothing.
        checkpoint: of a network that is offered first; None: those that come with srn_tf alone.
        precision, tile: as of `Deblurrer`.
        batch_size: pictures of equal size that a network gets at once; None: 8 on a GPU, else 1.
        threads: of blind deconvolution; 0: as many as cores.
        max_upload_mb: of one request, millions of bytes.
        max_megapixels: of one picture, millions of pixels.
        queue: requests that are waiting or at work; beyond it they are refused.
        max_stored_mb: of the temporary folder, millions of bytes.
        transfer_seconds: that a client may take to send a picture, and to fetch it.
        timeout: seconds from the upload to the result.
        grace: seconds from SIGTERM to the end.

    Raises:
        UserError: for a value outside its rule.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    checkpoint: str | pathlib.Path | None = None
    precision: str = "auto"
    tile: int | None = None
    batch_size: int | None = None
    threads: int = 0
    max_upload_mb: float = 100.0
    max_megapixels: float = 50.0
    queue: int = 256
    max_stored_mb: float = 2000.0
    transfer_seconds: float = 120.0
    timeout: float = 600.0
    grace: float = 30.0

    def __post_init__(self):
        check_rules(
            self,
            [
                ("port", 0 <= self.port < 2**16, "0 to 65535"),
                ("token", self.token is None or self.token.isascii(), "of ASCII characters"),
                ("token", self.token != "", "a word"),
                ("max_upload_mb", self.max_upload_mb > 0, "positive"),
                ("max_megapixels", self.max_megapixels > 0, "positive"),
                ("queue", self.queue >= 1, "at least 1"),
                ("max_stored_mb", self.max_stored_mb >= self.max_upload_mb, ">= max_upload_mb"),
                ("transfer_seconds", self.transfer_seconds > 0, "positive"),
                ("timeout", self.timeout > 0, "positive"),
                ("grace", self.grace >= _LEAST_GRACE, f"at least {_LEAST_GRACE:g} seconds"),
            ],
        )

    @property
    def is_private(self) -> bool:
        """Whether this machine alone can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
