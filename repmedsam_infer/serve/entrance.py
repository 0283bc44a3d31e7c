"""Who may speak to the viewers' server: who has the key; and no page of a browser."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from repmedsam_infer.system.listening import names_this_machine

OPEN = "/healthz"  # is answered to everybody


@dataclass(frozen=True)
class Entrance:
    """What lets a request in.

    key: the bearer token that every client has to send; None for no key, on loopback alone.
    loopback: whether the server can be reached from this machine alone.
    """

    key: str | None = None
    loopback: bool = True

    def answer(self, scope: Scope) -> Response | None:
        """Return what a request that is not let in gets; None for one that is."""
        headers = Headers(scope=scope)
        if not names_this_machine(headers.get("host", ""), loopback=self.loopback):
            return refusal(403, "this server is not called by that name")
        if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
            return refusal(403, "this server is for viewers, not for pages in a browser")
        if scope["path"] != OPEN and self.key is not None:
            given = headers.get("authorization", "")
            if not secrets.compare_digest(given.encode("utf-8", "replace"), f"Bearer {self.key}".encode()):
                return refusal(401, "the API key is missing or wrong", {"WWW-Authenticate": "Bearer"})
        return None

    def middleware(self, app: ASGIApp) -> ASGIApp:
        async def entered(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await app(scope, receive, send)
            elif scope["type"] == "http":
                answer = self.answer(scope)
                await (app if answer is None else answer)(scope, receive, send)

        return entered


def refusal(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as clients read it."""
    detail = why.encode("utf-8", "replace").decode()
    return JSONResponse({"detail": detail}, status, headers=dict(headers or {}))
