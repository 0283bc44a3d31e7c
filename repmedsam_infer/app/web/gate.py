"""Who may talk to the server: ASGI middleware before everything else.

A page of another site must not reach it (Host, Origin and Sec-Fetch-Site are checked, the cookie is same-site), nor
another user of the machine (a random token, which only the printed link has). Answers forbid scripts but our own.
"""

import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from repmedsam_infer.system.listening import names_this_machine

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LARGEST_BODY = 1 << 20  # bytes of JSON; uploads have a limit of their own (uploads.py)


@dataclass(frozen=True)
class Door:
    """What lets a request in.

    token: of the link that is printed.
    loopback: whether the server can be reached from this machine alone.
    """

    loopback: bool = True
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    cookie: str = field(default_factory=lambda: f"repmedsam_{secrets.token_hex(4)}")

    def is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


class Gate:
    """Lets in what `door` allows; the rest gets an answer here."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # there are no web sockets

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self.answer(scope)
        if answer is not None:
            await answer(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def answer(self, scope: Scope) -> Response | None:
        """Return what a request that is not let in gets; None for one that is."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not names_this_machine(host, loopback=self.door.loopback):
            return refused(403, f"this server is not called {host[:100]!r}: open the link that it printed")
        if scope["method"] not in ("GET", "HEAD") and headers.get("origin") != f"http://{host}":
            return refused(403, "requests that change something have to come from the page itself")
        if scope["path"] == "/" and scope["method"] == "GET":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
            if given and self.door.is_token(given[0]):
                welcome = RedirectResponse("/", status_code=303)
                welcome.set_cookie(self.door.cookie, self.door.token, httponly=True, samesite="strict", path="/")
                return welcome
        elif headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return refused(403, "another page may not ask for this")
        if not self.door.is_token(cookie_of(headers, self.door.cookie)):
            return refused(401, "open the link that repmedsam app printed")
        return None


def cookie_of(headers: Headers, name: str) -> str:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if cookie is None else cookie.value


def refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)
