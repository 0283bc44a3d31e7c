"""Requests of viewers, read without trust; errors as sentences, {"detail": ...}, which viewers show."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from repmedsam_infer.errors import RepMedSAMError, UsageError
from repmedsam_infer.serve.entrance import refusal
from repmedsam_infer.serve.leases import FullError, NoLeaseError

LOG = logging.getLogger("repmedsam")
LARGEST_JSON = 1 << 20  # bytes
LONGEST_META = 64 << 10  # characters of X-Meta
META = "x-meta"
Endpoint = Callable[[Request], Awaitable[Response]]


class TooLargeError(UsageError):
    """A request's body is larger than may be."""


STATUSES: tuple[tuple[type[RepMedSAMError], int], ...] = (
    (NoLeaseError, 410),
    (FullError, 503),
    (TooLargeError, 413),
    (RepMedSAMError, 400),
)


def guarded(answer: Endpoint) -> Endpoint:
    """Return an endpoint whose errors are sentences, never a traceback."""

    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request)
        except RepMedSAMError as error:
            status = next(status for kind, status in STATUSES if isinstance(error, kind))
            return refusal(status, str(error), {"Retry-After": "10"} if status == 503 else None)
        except ClientDisconnect:
            return refusal(400, "the request was cut off")
        except MemoryError:
            return refusal(413, "there is not enough memory for this")
        except Exception:
            LOG.exception("an answer failed")
            return refusal(500, "internal error")

    return endpoint


async def body_of(request: Request, most: int) -> bytearray:
    """Return a request's body. Raises TooLargeError as soon as it is too large."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > most:
        raise TooLargeError(f"the request has {int(declared):,} bytes; the limit is {most:,}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLargeError(f"the request has more than {most:,} bytes")
    return body


async def json_of(request: Request) -> dict[str, Any]:
    return parsed(await body_of(request, LARGEST_JSON), "the request")


def meta_of(request: Request) -> dict[str, Any]:
    given = request.headers.get(META)
    if given is None:
        return {}
    if len(given) > LONGEST_META:
        raise TooLargeError("the header X-Meta is too long")
    return parsed(given.encode("latin-1"), "the header X-Meta")


def parsed(content: bytes | bytearray, what: str) -> dict[str, Any]:
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is not valid JSON") from error
    if not isinstance(value, dict):
        raise UsageError(f"{what} is not a JSON object")
    return value


def flag(given: Mapping[str, Any], key: str, *, default: bool | None) -> bool:
    value = given.get(key, default)
    if not isinstance(value, bool):
        raise UsageError(f"{key} is not true or false")
    return value
