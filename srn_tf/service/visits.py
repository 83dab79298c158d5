"""Requests with a picture: how many there may be, and what they may store."""

import asyncio
import contextlib
import itertools
import os
import pathlib

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from srn_tf.service.config import MB, ServiceConfig
from srn_tf.service.refusal import Refusal

_PART_HEADERS = 4096  # bytes that the headers of a multipart body may take
_NAME = 200  # characters of a file's name that are kept, for messages


class Visits:
    """All requests at hand and their files.

    Args:
        folder: of the files; they have names of our own.
        config: with the limits.

    Attributes:
        draining: whether nothing new is let in.
    """

    def __init__(self, folder: pathlib.Path, config: ServiceConfig):
        self.folder, self.config = folder, config
        self.draining = False
        self.stored = 0
        self._numbers = itertools.count(1)
        self._open: set[Visit] = set()
        self._receiving: set[asyncio.Timeout] = set()

    def __len__(self) -> int:
        return len(self._open)

    def enter(self) -> "Visit":
        """Raises Refusal (503) if there is no room, or the server is about to end."""
        if self.draining:
            raise Refusal(503, "the server is about to end")
        if len(self._open) >= self.config.queue:
            raise Refusal(503, f"{len(self._open)} pictures are waiting already; try again later")
        visit = Visit(self, self.folder / str(next(self._numbers)))
        self._open.add(visit)
        return visit

    def leave(self, visit: "Visit") -> None:
        self._open.discard(visit)

    def drain(self) -> None:
        """Lets nothing new in, and ends uploads."""
        self.draining = True
        now = asyncio.get_running_loop().time()
        for limit in self._receiving:
            limit.reschedule(now)

    def store(self, count: int) -> None:
        """Counts bytes that are about to be written.

        Raises:
            Refusal: (503) if there is no room for them.
        """
        if self.stored + count > self.config.max_stored_mb * MB:
            raise Refusal(503, "too much is waiting already; try again later")
        self.stored += count

    async def receive(self, visit: "Visit", request) -> None:
        """Writes what a request brings into the visit's file.

        Raises:
            Refusal: for what is no upload, too large, or too slow; or at the end of the server.
            starlette.requests.ClientDisconnect: if the client goes.
        """
        limit = asyncio.timeout(self.config.transfer_seconds)
        try:
            async with limit:
                self._receiving.add(limit)
                await visit.receive(request)
        except TimeoutError:
            if self.draining:
                raise Refusal(503, "the server is about to end") from None
            seconds = self.config.transfer_seconds
            raise Refusal(408, f"the upload took longer than {seconds:g} seconds") from None
        finally:
            self._receiving.discard(limit)


class Visit:
    """One request: the picture it brings and the one it gets.

    Attributes:
        place: the file of what it brought; others of its files begin with this name.
        name: of the picture, as the client says, for messages alone.
        size: in bytes, of all its files.
        closed: whether it is over, and a file that is written now nobody's.
    """

    def __init__(self, visits: Visits, place: pathlib.Path):
        self._visits = visits
        self.place = place
        self.name = "picture"
        self.size = 0
        self.closed = False

    def add(self, path: pathlib.Path) -> None:
        """Counts a file that was written; raises Refusal as `Visits.store`."""
        size = os.path.getsize(path)
        self._visits.store(size)
        self.size += size

    def close(self) -> None:
        """Removes its files, and makes room for another."""
        self.closed = True
        for path in self.place.parent.glob(f"{self.place.name}.*"):
            path.unlink(missing_ok=True)
        self.place.unlink(missing_ok=True)
        self._visits.stored -= self.size
        self.size = 0
        self._visits.leave(self)

    async def receive(self, request) -> None:
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        most = self._visits.config.max_upload_mb * MB
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most + _PART_HEADERS:
            raise _too_large(self._visits.config)
        with open(self.place, "wb", buffering=0) as file:

            def write(data: bytes) -> None:
                if self.size + len(data) > most:
                    raise _too_large(self._visits.config)
                self._visits.store(len(data))
                self.size += len(data)
                file.write(data)

            if kind == b"multipart/form-data":
                parts = _Parts(options.get(b"boundary", b""), write)
            else:
                parts = _Raw(write)
            async for piece in request.stream():
                parts.write(piece)
            self.name = parts.finish() or self.name
        if not self.size:
            raise Refusal(400, "there is no picture in the request")


def _too_large(config: ServiceConfig) -> Refusal:
    return Refusal(413, f"the upload is larger than {config.max_upload_mb:g} MB")


class _Raw:
    """A body that is the picture."""

    def __init__(self, write):
        self.write = write

    def finish(self) -> str:
        return ""


class _Parts:
    """A body of multipart/form-data (RFC 7578), of which one part is a file."""

    def __init__(self, boundary: bytes, write):
        self._write = write
        self._header, self._value, self._disposition = b"", b"", b""
        self._name = None  # of the file
        self._whole = False
        self._other = 0  # bytes that are not of the file
        callbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }
        if not boundary:
            raise _malformed("it has no boundary")
        with _malformed_raised():
            self._parser = MultipartParser(boundary, callbacks)

    def write(self, data: bytes) -> None:
        self._other += len(data)
        with _malformed_raised():
            self._parser.write(data)
        if self._other > _PART_HEADERS:
            raise _malformed("it holds more than a file")

    def finish(self) -> str:
        """The name of the file, for people."""
        if not self._whole:
            raise _malformed("it does not end")
        if self._name is None:
            raise Refusal(400, "there is no file among the fields of the form")
        return self._name

    def _on_part_begin(self):
        self._header = self._value = self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int):
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int):
        self._value += data[start:end]

    def _on_header_end(self):
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers_finished(self):
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            field = options.get(b"name", b"").decode(errors="replace")[:_NAME]
            raise Refusal(400, f"{field}: options go into the address, as ?{field}=")
        if self._name is not None:
            raise Refusal(400, "there are several files; a request brings one")
        self._name = options[b"filename"].decode(errors="replace")[:_NAME]

    def _on_part_data(self, data: bytes, start: int, end: int):
        self._other -= end - start
        self._write(data[start:end])

    def _on_end(self):
        self._whole = True


def _malformed(reason) -> Refusal:
    return Refusal(400, f"the form is malformed: {reason}")


@contextlib.contextmanager
def _malformed_raised():
    try:
        yield
    except MultipartParseError as error:
        raise _malformed(error) from None
