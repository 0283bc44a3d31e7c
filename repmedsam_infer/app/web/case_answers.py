"""Answers on one image: how it is shown, what is drawn on it, its masks."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from repmedsam_infer import __version__
from repmedsam_infer.app.cases import Cases
from repmedsam_infer.app.edits import change_of, corners, number, whole
from repmedsam_infer.app.opened_case import OpenedCase
from repmedsam_infer.app.pixels import plane_of
from repmedsam_infer.app.planes import Plane
from repmedsam_infer.app.saving import command_for, formats_of, names_beside, own_format
from repmedsam_infer.app.state import changes_of, state_of
from repmedsam_infer.app.web.events import News
from repmedsam_infer.app.web.requests import printable
from repmedsam_infer.errors import UsageError
from repmedsam_infer.interactive.session import StaleError

AT_ONCE = 0.25  # seconds that an edit waits for its mask, so that one answer has both
AGAIN = "private, no-cache"  # kept, but asked after


class CaseAnswers:
    """What is asked of one case."""

    def __init__(self, cases: Cases, news: News) -> None:
        self.cases, self.news = cases, news

    def opened(self, request: Request) -> OpenedCase:
        return self.cases.get(request.path_params["case"])

    def list_cases(self, _: Request) -> Response:
        listed = [{**one, "name": printable(one["name"])} for one in self.cases.described()]
        return JSONResponse({"cases": listed, "version": __version__})

    def describe(self, request: Request) -> Response:
        opened = self.opened(request)
        one = self.cases.find(request.path_params["case"])
        possible = formats_of(opened)
        ending = own_format(opened.path, possible)
        return JSONResponse(
            {
                "id": one.id,
                "name": printable(opened.path.name),
                **opened.described(),
                "formats": possible,
                "own_format": ending,
                "beside": None if one.uploaded else printable(names_beside(opened.path, ending).labels),
                "command": printable(command_for(opened, ending)),
            }
        )

    def pixels(self, request: Request) -> Response:
        opened = self.opened(request)
        plane, index = plane_and_index(opened, request)
        tag = f'"{opened.digest}-{opened.image.dtype}-{plane.axis}-{index}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        content = opened.image.plane(plane, index)
        return Response(content, media_type="application/octet-stream", headers={"ETag": tag, "Cache-Control": AGAIN})

    def labels(self, request: Request) -> Response:
        opened = self.opened(request)
        plane, index = plane_and_index(opened, request)
        labels = opened.session.labels
        pixels = plane_of(labels, plane, index) if opened.is_volume else labels
        if opened.image.reduced > 1:
            pixels = pixels[:: opened.image.reduced, :: opened.image.reduced]
        content = pixels.astype(f"<u{labels.dtype.itemsize}", order="C").tobytes()
        return Response(content, media_type="application/octet-stream")

    def state(self, request: Request) -> Response:
        return self.state_of(request.path_params["case"], self.opened(request))

    def state_of(self, case_id: str, opened: OpenedCase, **more: Any) -> Response:
        return JSONResponse({**state_of(self.cases.find(case_id), opened), **more})

    async def events(self, request: Request) -> Response:
        case_id = request.path_params["case"]
        opened = self.cases.open.get(case_id)
        if opened is None or self.news.is_full():
            return JSONResponse({"error": "the image is not open, or in too many pages"}, 409)
        return StreamingResponse(self.news.of(case_id, lambda: changes_of(opened)), media_type="text/event-stream")

    def edit(self, request: Request, content: Mapping[str, Any]) -> Response:
        opened, case_id = self.opened(request), request.path_params["case"]
        version, edit = whole(content, "version"), content.get("edit")
        if not isinstance(edit, dict):
            raise UsageError("there is no edit")
        session = opened.session
        before = {one.id for one in session.drawing.objects}
        try:
            self.do(opened, edit, version)
        except StaleError as error:
            state = state_of(self.cases.find(case_id), opened)
            return JSONResponse({"error": str(error), "state": state}, 409)
        self.cases.keep(case_id)
        session.wait(AT_ONCE)
        created = [one.id for one in session.drawing.objects if one.id not in before]
        return self.state_of(case_id, opened, **({"created": created[0]} if len(created) == 1 else {}))

    def do(self, opened: OpenedCase, edit: Mapping[str, Any], version: int) -> None:
        """Do one edit of a drawing that was seen in this version."""
        session, kind = opened.session, edit.get("do")
        if kind == "undo":
            session.undo(version)
        elif kind == "redo":
            session.redo(version)
        elif kind == "stop":
            session.stop(whole(edit, "object"))
        elif kind == "set_window":
            level, width = number(edit.get("level"), "level"), number(edit.get("width"), "width")
            if width <= 0:
                raise UsageError("the width of a window is more than 0")
            opened.set_window((level, width))
        else:
            session.edit(change_of(edit, opened.grid), version)

    def preview(self, request: Request, content: Mapping[str, Any]) -> Response:
        opened = self.opened(request)
        where, mask = opened.session.preview(corners(content), whole(content, "index"))
        rows, columns = where
        rectangle = f"{columns.start},{rows.start},{mask.shape[1]},{mask.shape[0]}"
        return Response(
            mask.astype("u1").tobytes(), media_type="application/octet-stream", headers={"X-Rect": rectangle}
        )

    def look(self, request: Request, content: Mapping[str, Any]) -> Response:
        self.opened(request).session.look_at(whole(content, "index"))
        return Response(status_code=204)


def plane_and_index(opened: OpenedCase, request: Request) -> tuple[Plane, int]:
    """Return the plane that a request names, and which of them. Raises UsageError where there is none."""
    plane, index = opened.planes.get(request.path_params["axis"]), request.path_params["index"]
    if plane is None or not 0 <= index < opened.shape.get(plane.axis, 1):
        raise UsageError("there is no such slice")
    return plane, int(index)
