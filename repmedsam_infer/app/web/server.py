"""Routes of the page's server: docs/architecture.md says what is behind them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from repmedsam_infer.app.cases import Cases
from repmedsam_infer.app.web.case_answers import CaseAnswers
from repmedsam_infer.app.web.events import News
from repmedsam_infer.app.web.file_answers import FileAnswers
from repmedsam_infer.app.web.gate import Door, Gate
from repmedsam_infer.app.web.requests import answered, answered_to_json
from repmedsam_infer.app.web.uploads import Uploads

PAGE = Path(__file__).parent.parent / "page"
ONE = "/api/cases/{case}"


def make_server(cases: Cases, news: News, door: Door) -> Starlette:
    """Return the ASGI application: the page, and what it asks for."""
    of_case, of_files = CaseAnswers(cases, news), FileAnswers(cases, Uploads(cases.uploads))
    routes = [
        Route("/", index),
        Mount("/page", StaticFiles(directory=PAGE)),
        Route("/api/cases", answered(of_case.list_cases)),
        Route(ONE, answered(of_case.describe)),
        Route(f"{ONE}/slices/{{axis}}/{{index:int}}", answered(of_case.pixels)),
        Route(f"{ONE}/labels/{{axis}}/{{index:int}}", answered(of_case.labels)),
        Route(f"{ONE}/state", answered(of_case.state)),
        Route(f"{ONE}/events", of_case.events),
        Route(f"{ONE}/edit", answered_to_json(of_case.edit), methods=["POST"]),
        Route(f"{ONE}/preview", answered_to_json(of_case.preview), methods=["POST"]),
        Route(f"{ONE}/look", answered_to_json(of_case.look), methods=["POST"]),
        Route(f"{ONE}/save", answered_to_json(of_files.save), methods=["POST"]),
        Route(f"{ONE}/download/labels", answered(of_files.download_labels)),
        Route(f"{ONE}/download/boxes", answered(of_files.download_boxes)),
        Route("/api/uploads", of_files.begin_upload, methods=["POST"]),
        Route("/api/uploads/{upload}/files", of_files.receive_file, methods=["POST"]),
        Route("/api/uploads/{upload}/done", answered(of_files.end_upload), methods=["POST"]),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        cases.close()

    return Starlette(
        routes=routes, middleware=[Middleware(Gate, door=door)], exception_handlers={404: not_found}, lifespan=lifespan
    )


async def index(_: Request) -> Response:
    return FileResponse(PAGE / "index.html")


async def not_found(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "there is nothing here"}, 404)
