"""The HTTP of a server: the page, and the API with its OpenAPI description."""

import asyncio
import concurrent.futures
import dataclasses
import importlib.resources
import json
import logging
import pathlib
import re
import typing

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from srn_tf import UserError, __version__
from srn_tf.images.files import FORMATS, extension_of
from srn_tf.images.kind import Kind
from srn_tf.images.picture import QUALITY, Picture, to_8_bit
from srn_tf.images.read import read_kind, read_picture
from srn_tf.images.write import write_picture
from srn_tf.options import PICTURE_FORMATS
from srn_tf.service.config import ServiceConfig
from srn_tf.service.guard import Guard, answer
from srn_tf.service.methods import Method
from srn_tf.service.refusal import Refusal
from srn_tf.service.visits import Visit, Visits
from srn_tf.service.worker import Draining, Order, Workers

_LOG = logging.getLogger("srn_tf")
_PIECE = 2**18  # bytes of an answer that are sent at once
_MEDIA_TYPES = {
    **{"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "BMP": "image/bmp"},
    **{"TIFF": "image/tiff", "AVIF": "image/avif", "HEIF": "image/heic"},
}
# What the page is made of, by address.
_PAGE = {
    "/": ("srn_tf.service", "page/index.html", "text/html"),
    "/page.js": ("srn_tf.service", "page/page.js", "text/javascript"),
    "/page.css": ("srn_tf.service", "page/page.css", "text/css"),
    "/zip.js": ("srn_tf.service", "page/zip.js", "text/javascript"),
    "/docs": ("srn_tf.service", "page/docs.html", "text/html"),
    "/docs.js": ("srn_tf.service", "page/docs.js", "text/javascript"),
    "/viewer.js": ("srn_tf.evaluation", "viewer.js", "text/javascript"),
    "/viewer.css": ("srn_tf.evaluation", "viewer.css", "text/css"),
}
_FORMATS = tuple(name for name in PICTURE_FORMATS if f".{name}" in FORMATS)
Format = typing.Literal[_FORMATS]
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_ERRORS = {
    400: "no picture in the request, or a malformed one",
    401: "the token is missing or wrong",
    408: "the upload took too long",
    413: "the upload or the picture is too large",
    415: "not a picture of a format that can be read",
    422: "a picture that cannot be read, or an option outside its rule",
    503: "too many pictures are waiting, or it took too long; try again after Retry-After seconds",
}
_RESPONSES = {
    200: {"description": "the picture", "content": {"image/*": {}}},
    **{
        status: {
            "description": text,
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": {"error": {"type": "string"}}}
                }
            },
        }
        for status, text in _ERRORS.items()
    },
}


@dataclasses.dataclass
class Service:
    """What the routes work with.

    Attributes:
        config: of the server.
        methods: to choose among, the first the default.
        workers: the devices.
        visits: the requests at hand.
        orders: those that are restored, by the name their client gave them.
    """

    config: ServiceConfig
    methods: dict[str, Method]
    workers: Workers
    visits: Visits
    orders: dict[str, Order] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.readers = concurrent.futures.ThreadPoolExecutor(2, "reader")

    def drain(self) -> None:
        """Finishes what is at work and refuses the rest; for the thread of the event loop."""
        self.visits.drain()
        self.workers.drain()


def create_app(service: Service) -> Guard:
    """The ASGI application."""
    app = FastAPI(
        title="srn-serve",
        summary="Deblurs pictures.",
        version=__version__,
        docs_url=None,  # FastAPI's own page loads its script from another site
        redoc_url=None,
    )
    _add_errors(app)
    _add_facts(app, service)
    _add_restore(app, service)
    _add_preview(app, service)
    for address, (package, name, kind) in _PAGE.items():
        app.get(address, include_in_schema=False)(_file(package, name, kind))
    return Guard(app, service.config)


def _file(package: str, name: str, kind: str):
    content = importlib.resources.files(package).joinpath(name).read_bytes()

    async def serve() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return serve


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refuse(request, refusal: Refusal):
        return answer(refusal)

    @app.exception_handler(RequestValidationError)
    async def refuse_option(request, error: RequestValidationError):
        first = error.errors()[0]
        return answer(Refusal(422, f"{first['loc'][-1]}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def refuse_address(request, error: HTTPException):
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def go(request, error):
        return Response(status_code=400)  # to nobody

    @app.exception_handler(Exception)
    async def fail(request, error: Exception):
        return JSONResponse({"error": "a mistake of srn_tf's own; its log says where"}, 500)


def _add_facts(app: FastAPI, service: Service) -> None:
    @app.get("/api/health", summary="Whether the server works, and on how much")
    async def health() -> dict:
        if service.visits.draining:
            raise Refusal(503, "the server is about to end")
        return {"status": "ok", "version": __version__, "pictures": len(service.visits)}

    @app.get("/api/models", summary="Methods, formats and limits")
    async def models() -> dict:
        config = service.config
        return {
            "methods": [
                {"name": method.name, "about": method.about, "strength": method.has_strength}
                for method in service.methods.values()
            ],
            "formats": list(_FORMATS),
            "max_upload_mb": config.max_upload_mb,
            "max_megapixels": config.max_megapixels,
        }

    @app.get("/api/progress/{ticket}", summary="How far a picture is")
    async def progress(ticket: typing.Annotated[str, Path(max_length=64)]) -> dict | None:
        """`ahead`: how many wait before it; `share`: how much of it is done, 0 to 1.

        null if no picture of this ticket is waiting or at work.
        """
        if (order := service.orders.get(ticket)) is None:
            return None
        return {"ahead": max(0, service.workers.ahead_of(order)), "share": order.share}


def _add_restore(app: FastAPI, service: Service) -> None:
    @app.post(
        "/api/restore",
        summary="Deblur a picture",
        response_class=Response,
        responses=_RESPONSES,
        openapi_extra=_UPLOAD,
    )
    async def restore(
        request: Request,
        method: typing.Annotated[str | None, Query(description="see /api/models")] = None,
        strength: typing.Annotated[
            float | None, Query(ge=0, le=1, description="of a method that has one")
        ] = None,
        format: typing.Annotated[
            Format | None, Query(description="of the result; default: as the upload")
        ] = None,
        quality: typing.Annotated[
            int, Query(ge=1, le=100, description="of JPEG, WebP, AVIF and HEIC")
        ] = QUALITY,
        ticket: typing.Annotated[
            str | None, Query(max_length=64, description="a random name, for /api/progress")
        ] = None,
    ):
        """The body is the picture, or a form with it as its one file.

        What of it could not be kept, and what the method decided, is in the header `Srn-Notes`, a
        JSON list of lines.
        """
        chosen = _method(service, method, strength)

        async def order(visit: Visit, source: pathlib.Path, kind: Kind):
            target = visit.place.with_suffix(f".restored.{format or source.suffix[1:]}")
            like = (kind.shape, kind.channels, kind.bits)
            pixels = kind.width * kind.height
            rules = (quality, service.config.max_megapixels)
            order = Order(source, target, like, pixels, chosen, strength, *rules)
            return target, await _restore(service, order, ticket, request)

        return await _answer(service, request, order)


def _add_preview(app: FastAPI, service: Service) -> None:
    @app.post(
        "/api/preview",
        summary="A picture as a PNG of 8 bits, for browsers that cannot show its format",
        response_class=Response,
        responses=_RESPONSES,
        openapi_extra=_UPLOAD,
    )
    async def preview(request: Request):
        async def convert(visit: Visit, source: pathlib.Path, kind: Kind):
            target = visit.place.with_suffix(".preview.png")

            def write():
                picture = read_picture(source, service.config.max_megapixels)
                pixels = to_8_bit(picture.pixels)
                write_picture(target, Picture(pixels, icc_profile=picture.icc_profile))
                if visit.closed:
                    target.unlink(missing_ok=True)

            await asyncio.get_running_loop().run_in_executor(service.readers, write)
            return target, []

        return await _answer(service, request, convert)


def _method(service: Service, name: str | None, strength: float | None) -> Method:
    method = service.methods.get(name or next(iter(service.methods)))
    if method is None:
        raise Refusal(422, f"method: must be one of {', '.join(service.methods)}, not {name!r}")
    if strength is not None and not method.has_strength:
        raise Refusal(422, f"strength: {method.name} has none")
    return method


async def _answer(service: Service, request: Request, work) -> "_FileAnswer":
    """Receives a picture and answers with what `work(visit, its file, its kind)` makes of it.

    `work` gives the file of the result, and notes on it.
    """
    visit = service.visits.enter()
    try:
        await service.visits.receive(visit, request)
        source, kind = await asyncio.to_thread(_identified, visit, service.config)
        target, notes = await work(visit, source, kind)
        visit.add(target)
        return _FileAnswer(visit, target, notes, service.config.transfer_seconds)
    except BaseException as error:
        visit.close()
        if isinstance(error, UserError | FloatingPointError):
            raise Refusal(422, _for_people(error, visit)) from None
        if isinstance(error, MemoryError):
            raise Refusal(503, f"{visit.name}: there is too little memory for it") from None
        if isinstance(error, OSError):
            _LOG.error("%s", error)
            raise Refusal(503, f"{visit.name}: cannot be stored ({error.strerror})") from None
        raise


def _identified(visit: Visit, config: ServiceConfig) -> tuple[pathlib.Path, Kind]:
    """Gives an upload the extension of its content; before it is decoded, its size is looked at.

    Raises:
        Refusal: if it is of no format that can be read, or too large.
        UserError: if it is damaged.
    """
    with open(visit.place, "rb") as file:
        start = file.read(64)
    try:
        extension = extension_of(start, visit.name)
    except UserError as error:
        raise Refusal(415, str(error)) from None
    source = visit.place.rename(visit.place.with_suffix(extension))
    kind = read_kind(source)
    megapixels = kind.width * kind.height / 1e6
    if megapixels > config.max_megapixels:
        raise Refusal(
            413,
            f"{visit.name}: {kind.width}x{kind.height} is {megapixels:.4g} megapixels, and the "
            f"limit is {config.max_megapixels:g}",
        )
    return source, kind


def _for_people(error: Exception, visit: Visit) -> str:
    """A message about a file of ours, by the name its owner knows."""
    ours = re.escape(str(visit.place)) + r"(\.\w+)*"
    return re.sub(ours, lambda _: visit.name, str(error))


async def _restore(service: Service, order: Order, ticket: str | None, request) -> list[str]:
    """The notes on a picture that was restored.

    Raises:
        Refusal: if that took too long, or the server is about to end.
        ClientDisconnect: if the client went.
        UserError, OSError, MemoryError, FloatingPointError: if it cannot be restored.
    """
    try:
        service.workers.submit(order)
    except Draining:
        raise Refusal(503, "the server is about to end") from None
    if ticket:
        service.orders[ticket] = order
    done = asyncio.wrap_future(order.done)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        limit = service.config.timeout
        await asyncio.wait([done, gone], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return list(done.result())
        if gone.done():
            raise ClientDisconnect
        raise Refusal(503, f"the picture took longer than {limit:g} seconds")
    except Draining:
        raise Refusal(503, "the server is about to end") from None
    finally:
        order.abandon()
        done.cancel()  # what becomes of it now is nobody's
        gone.cancel()
        service.orders.pop(ticket, None)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _FileAnswer(Response):
    """A file as an answer; when the client has it, or is gone, the visit is over."""

    def __init__(self, visit: Visit, path: pathlib.Path, notes: list[str], seconds: float):
        super().__init__(media_type=_MEDIA_TYPES[FORMATS[path.suffix]])
        self.headers["Content-Length"] = str(path.stat().st_size)
        self.headers["Content-Disposition"] = f'attachment; filename="restored{path.suffix}"'
        if notes:
            self.headers["Srn-Notes"] = json.dumps([note[:500] for note in notes])
        self._visit, self._path, self._seconds = visit, path, seconds

    async def __call__(self, scope, receive, send):
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            async with asyncio.timeout(self._seconds):
                await send(start)
                with open(self._path, "rb") as file:
                    left = True
                    while left:
                        piece = file.read(_PIECE)
                        left = len(piece) == _PIECE
                        body = {"type": "http.response.body", "body": piece, "more_body": left}
                        await send(body)
        finally:
            self._visit.close()
