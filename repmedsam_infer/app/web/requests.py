"""What all answers have in common: JSON read with care, errors as sentences, work off the event loop."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from repmedsam_infer.app.web.gate import LARGEST_BODY
from repmedsam_infer.app.web.uploads import TooLargeError
from repmedsam_infer.errors import RepMedSAMError, UsageError
from repmedsam_infer.interactive.session import SupersededError

Answer = Callable[[Request], Response]
AnswerToJson = Callable[[Request, dict[str, Any]], Response]
Endpoint = Callable[[Request], Awaitable[Response]]
LOG = logging.getLogger("repmedsam.app")


def answered(answer: Answer) -> Endpoint:
    """Return an endpoint that answers in a thread."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(guarded, lambda: answer(request))

    return endpoint


def answered_to_json(answer: AnswerToJson) -> Endpoint:
    """Return an endpoint that takes a JSON object and answers in a thread."""

    async def endpoint(request: Request) -> Response:
        try:
            content = await json_of(request)
        except RepMedSAMError as error:
            return sentence(error)
        return await run_in_threadpool(guarded, lambda: answer(request, content))

    return endpoint


def guarded(answer: Callable[[], Response]) -> Response:
    """Return the answer, or what went wrong as a sentence: never a traceback."""
    try:
        return answer()
    except SupersededError:
        return Response(status_code=204)
    except RepMedSAMError as error:
        return sentence(error)
    except Exception as error:
        LOG.exception("an answer failed")
        return JSONResponse({"error": f"internal error: {type(error).__name__}"}, 500)


def sentence(error: RepMedSAMError) -> Response:
    status = 413 if isinstance(error, TooLargeError) else 400 if isinstance(error, UsageError) else 422
    return JSONResponse({"error": printable(str(error))}, status)


def printable(text: str) -> str:
    """Return text that JSON can hold: lone surrogates of odd file names are replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


async def json_of(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request's body.

    Raises:
        UsageError: it is none, or larger than LARGEST_BODY.

    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise TooLargeError(f"a request has at most {LARGEST_BODY >> 20} MiB")
    except ClientDisconnect as error:
        raise UsageError("the request was cut off") from error
    try:
        content = json.loads(body.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError("the request is not valid JSON") from error
    if not isinstance(content, dict):
        raise UsageError("the request is not a JSON object")
    return content


def refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")
