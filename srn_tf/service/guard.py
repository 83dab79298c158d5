"""Before every answer: who may ask, and what browsers may do with it. Pure ASGI."""

import hmac
import urllib.parse

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from srn_tf.service.config import ServiceConfig
from srn_tf.service.refusal import Refusal

# The page needs its own script, style and answers; pictures of its own are blobs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without any, browsers may send "null" as the origin
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_ENCODED = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_FREE = "/api/health"  # for health checks, which have no token


class Guard:
    """Lets requests through to `app`, or refuses them; all answers get the headers."""

    def __init__(self, app, config: ServiceConfig):
        self._app, self._config = app, config

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        api = scope["path"].startswith("/api/")

        async def send_guarded(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_ENCODED]
                if api:
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        app = self._app
        try:
            self._check(Headers(scope=scope), api and scope["path"] != _FREE)
        except Refusal as refusal:
            app = answer(refusal)
        await app(scope, receive, send_guarded)

    def _check(self, headers: Headers, with_token: bool) -> None:
        host = headers.get("host", "")
        # Other sites' pages: by a name of theirs that leads here, or straight.
        if self._config.is_private and _name(f"//{host}") not in (*_LOCAL_NAMES, self._config.host):
            raise Refusal(400, f"{host!r} is not the name of this machine")
        origin = headers.get("origin")
        if origin is not None and urllib.parse.urlsplit(origin).netloc != host:
            raise Refusal(403, "pages of other sites may not use this server")
        token = self._config.token
        if token is not None and with_token:
            given = headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), token.encode()):
                raise Refusal(401, "the token is missing or wrong (Authorization: Bearer TOKEN)")


def _name(address: str) -> str | None:
    try:
        return urllib.parse.urlsplit(address).hostname
    except ValueError:
        return None


def answer(refusal: Refusal) -> JSONResponse:
    """{"error": one line}."""
    return JSONResponse({"error": str(refusal)}, refusal.status, refusal.headers)
