"""Answers that move files: saved beside the input, downloaded, uploaded."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from repmedsam_infer.app.cases import Cases, clock
from repmedsam_infer.app.opened_case import OpenedCase
from repmedsam_infer.app.saving import (
    boxes_as_json,
    formats_of,
    label_map_bytes,
    names_beside,
    write_boxes,
    write_label_map,
)
from repmedsam_infer.app.web.requests import printable, sentence
from repmedsam_infer.app.web.uploads import LARGEST, Uploads
from repmedsam_infer.errors import RepMedSAMError, UsageError


class FileAnswers:
    """What is asked of files."""

    def __init__(self, cases: Cases, uploads: Uploads) -> None:
        self.cases, self.uploads = cases, uploads

    def opened(self, request: Request) -> OpenedCase:
        return self.cases.get(request.path_params["case"])

    def save(self, request: Request, content: Mapping[str, Any]) -> Response:
        opened, case_id = self.opened(request), request.path_params["case"]
        one = self.cases.find(case_id)
        if one.uploaded:
            raise UsageError("an uploaded image has no folder to save in: download the label map")
        names = names_beside(opened.path, checked_format(opened, content.get("format")))
        labels, boxes = opened.path.with_name(names.labels), opened.path.with_name(names.boxes)
        there = [path.name for path in (labels, boxes) if path.exists()]
        if there and content.get("replace") is not True:
            return JSONResponse({"error": f"{' and '.join(there)} is there already; replace it?"}, 409)
        version = opened.session.version
        write_label_map(opened, labels)
        note = write_boxes(opened, boxes)
        one.saved = {"at": clock(), "name": printable(labels.name), "version": version}
        self.cases.keep(case_id)
        self.cases.changed(case_id)
        return JSONResponse({"name": printable(labels.name), "boxes": printable(boxes.name), "note": note})

    def download_labels(self, request: Request) -> Response:
        opened = self.opened(request)
        ending = checked_format(opened, request.query_params.get("format"))
        return attachment(label_map_bytes(opened, ending), names_beside(opened.path, ending).labels)

    def download_boxes(self, request: Request) -> Response:
        opened = self.opened(request)
        content, _ = boxes_as_json(opened)
        return attachment(content.encode("utf-8", "replace"), names_beside(opened.path, "").boxes)

    async def begin_upload(self, _: Request) -> Response:
        return JSONResponse({"upload": self.uploads.begin(), "limit": LARGEST})

    async def receive_file(self, request: Request) -> Response:
        key, name = request.path_params["upload"], request.query_params.get("name", "")
        declared = request.headers.get("content-length", "0")
        try:
            if not declared.isdigit() or int(declared) > LARGEST:
                return JSONResponse({"error": f"an image has at most {LARGEST >> 30} GiB"}, 413)
            await self.uploads.receive(key, name, request.stream())
        except RepMedSAMError as error:
            return sentence(error)
        except ClientDisconnect:
            return JSONResponse({"error": "the upload was cut off"}, 400)
        return Response(status_code=204)

    def end_upload(self, request: Request) -> Response:
        path = self.uploads.end(request.path_params["upload"])
        one = self.cases.add(path, uploaded=True)
        try:
            self.cases.get(one.id)
        except RepMedSAMError:
            self.cases.drop(one)
            raise
        return JSONResponse({"id": one.id})


def checked_format(opened: OpenedCase, given: Any) -> str:
    """Return a format that can hold the case's label map. Raises UsageError where it is none."""
    possible = formats_of(opened)
    if given not in possible:
        raise UsageError(f"a label map of this image can be {', '.join(possible)}")
    return str(given)


def attachment(content: bytes, name: str) -> Response:
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\;' else "_" for c in name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(printable(name))}"
    return Response(content, media_type="application/octet-stream", headers={"Content-Disposition": disposition})
