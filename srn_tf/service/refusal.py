"""What a client is told that gets no picture."""

_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}


class Refusal(Exception):
    """An answer with an error.

    Attributes:
        status: of HTTP.
        headers: that go with it.
    """

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status
        self.headers = _HEADERS.get(status, {})
