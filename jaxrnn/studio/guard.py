"""The checks in front of the studio: who may ask, and what a browser may do with the answers.

The server listens on this machine alone, but any page that is open in the same browser can send
requests there.  So every request needs a cookie that only the address with the token sets.  It must
name this server as its host, which a page whose name was rebound to 127.0.0.1 does not; and a
browser must not say that another site has sent it.
"""

import secrets
import urllib.parse
from typing import Any

from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse

MAX_BYTES = 1 << 20
"""The longest body of a request."""

HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
"""The headers of every answer."""


class RefusedError(Exception):
    """A request that is not answered; the message says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Guard:
    """An ASGI application that lets through to another one what its own page asks for."""

    def __init__(self, app: Any, token: str, port: int) -> None:
        """Guard an application.

        Args:
            app: the application.
            token: the secret in the address that the user was told.
            port: the port that the server listens on.
        """
        self.app, self.token = app, token
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        if port == 80:
            self.hosts |= {"127.0.0.1", "localhost"}
        self.cookie = f"studio-{port}"  # cookies do not tell ports apart

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            raise RuntimeError(f"the studio does not speak {scope['type']}")
        try:
            headers = _single_headers(scope)
            entered = self._check(scope, headers)
        except RefusedError as refused:
            response = PlainTextResponse(f"{refused}\n", refused.status, HEADERS)
            await response(scope, receive, send)
            return
        cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/"

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = HEADERS | ({"set-cookie": cookie} if entered else {})
                kept = [pair for pair in message["headers"] if pair[0].decode() not in extra]
                message["headers"] = kept + [(k.encode(), v.encode()) for k, v in extra.items()]
            await send(message)

        await self.app(scope, _limited(receive), send_with_headers)

    def _check(self, scope: Any, headers: dict[str, str]) -> bool:
        """Return whether the request brings the token, and gets the cookie; raise if refused."""
        method, path = scope["method"], scope["path"]
        if headers.get("host", "").lower() not in self.hosts:
            raise RefusedError(403, "this address is not the studio's")
        if method not in ("GET", "POST"):
            raise RefusedError(405, f"{method} is not for the studio")
        if not headers.get("content-length", "0").isdecimal():
            raise RefusedError(400, "content-length must be a number")
        if int(headers.get("content-length", "0")) > MAX_BYTES:
            raise RefusedError(413, f"a request holds {MAX_BYTES:,} bytes at most")
        if method == "GET" and path == "/" and self._brings_token(scope["query_string"]):
            return True
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise RefusedError(403, "another site must not use the studio")
        origin = headers.get("origin")
        if origin is None and method == "POST":
            raise RefusedError(403, "origin must be given")
        if origin is not None and origin != f"http://{headers['host'].lower()}":
            raise RefusedError(403, "another site must not use the studio")
        if method == "POST" and headers.get("content-type", "") != "application/json":
            raise RefusedError(415, "content-type must be application/json")
        if not self._brings_cookie(headers.get("cookie", "")):
            raise RefusedError(403, "open the address that `jaxrnn studio` printed, with its token")
        return False

    def _brings_token(self, query: bytes) -> bool:
        given = urllib.parse.parse_qs(query.decode("latin-1")).get("token", [])
        return len(given) == 1 and secrets.compare_digest(given[0].encode(), self.token.encode())

    def _brings_cookie(self, header: str) -> bool:
        # Other servers of this machine set cookies, too, which may be anything.
        given = cookie_parser(header).get(self.cookie, "")
        return secrets.compare_digest(given.encode(), self.token.encode())


def _single_headers(scope: Any) -> dict[str, str]:
    """Return the headers; raise if one that is checked comes twice."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in headers and key in ("host", "origin", "content-length", "content-type"):
            raise RefusedError(400, f"{key} must be given once")
        headers[key] = value.decode("latin-1")
    return headers


def _limited(receive: Any) -> Any:
    """Return a `receive` that ends a body that is longer than it may be."""
    total = 0

    async def receive_limited() -> Any:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BYTES:
            return {"type": "http.disconnect"}
        return message

    return receive_limited
