"""What the server answers to a viewer: images and prompts in, masks out."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from repmedsam_infer import __version__
from repmedsam_infer.errors import UsageError
from repmedsam_infer.serve.arrays import LARGEST, pack, unpack
from repmedsam_infer.serve.leases import Lease, Leases
from repmedsam_infer.serve.prompted_volume import PromptedVolume
from repmedsam_infer.serve.requests import body_of, flag, json_of, meta_of

TOKEN = "x-lease-token"  # noqa: S105 (the name of a header)
NOT_HERE = (
    "RepMedSAM works with boxes: draw a 2D box on a slice, or a 3D box; points, scribbles and lassos are not supported"
)
CAPABILITIES: Mapping[str, Any] = {
    "supported_interactions": {"points": False, "scribble": False, "lasso": False, "bbox2d": True, "bbox3d": True},
    "channel_mapping": {"prev_seg": 0, "bbox2d": [1, 2], "bbox3d": [1, 2]},
    "num_interaction_channels": 3,
    "supports_initial_label": True,
    "supports_zero_shot_label_refinement": True,
    "preferred_scribble_thickness": [2, 2, 2],
    "interaction_decay": None,
    "patch_size": None,
    "do_autozoom": True,
    "supports_undo": True,
    "license": "CC BY-SA 4.0",
    "inference_session_version": "2.6.0",  # of the protocol's client that this was written for
    "server": f"RepMedSAM {__version__}",
}
Work = Callable[[PromptedVolume], Any]


class Answers:
    """Each method answers requests of one kind."""

    def __init__(self, leases: Leases) -> None:
        self.leases = leases

    def lease(self, request: Request, *, active: bool = True) -> Lease:
        """Return the lease that a request names. Raises NoLeaseError."""
        return self.leases.get(request.headers.get(TOKEN), active=active)

    async def healthz(self, _: Request) -> Response:
        return JSONResponse({"ok": True})

    async def capabilities(self, _: Request) -> Response:
        return JSONResponse(dict(CAPABILITIES))

    async def claim(self, _: Request) -> Response:
        token = await run_in_threadpool(self.leases.claim)
        return JSONResponse(
            {
                "lease_token": token,
                "idle_timeout_seconds": self.leases.idle,
                "liveness_timeout_seconds": self.leases.liveness,
                "max_sessions": self.leases.most,
            }
        )

    async def release(self, request: Request) -> Response:
        self.leases.release(request.headers.get(TOKEN))
        return JSONResponse({"released": True})

    async def heartbeat(self, request: Request) -> Response:
        token = request.headers.get(TOKEN)
        self.lease(request, active=False)
        return JSONResponse({"remaining_seconds": self.leases.remaining(token)})

    async def lease_status(self, request: Request) -> Response:
        remaining = self.leases.remaining(request.headers.get(TOKEN))
        return JSONResponse({"remaining_seconds": remaining, "idle_timeout_seconds": self.leases.idle})

    async def set_image(self, request: Request) -> Response:
        lease, meta = self.lease(request), meta_of(request)
        body = await body_of(request, LARGEST)
        properties = meta.get("image_properties")
        spacing = properties.get("spacing") if isinstance(properties, dict) else None
        shape = await working(lease, lambda volume: volume.set_image(unpack(body), spacing))
        return JSONResponse({"original_image_shape": list(shape)})

    async def set_target_buffer(self, request: Request) -> Response:
        lease, given = self.lease(request), await json_of(request)
        await working(lease, lambda volume: check_target(volume, given))
        return JSONResponse({})

    async def reset_interactions(self, request: Request) -> Response:
        lease = self.lease(request)
        await working(lease, PromptedVolume.forget)
        return JSONResponse({})

    async def set_do_autozoom(self, request: Request) -> Response:
        lease, given = self.lease(request), await json_of(request)
        await working(lease, lambda volume: setattr(volume, "zoom", bool(given.get("do_autozoom"))))
        return JSONResponse({})

    async def add_bbox(self, request: Request) -> Response:
        lease, given = self.lease(request), await json_of(request)

        adds, run = flag(given, "include_interaction", default=None), flag(given, "run_prediction", default=True)

        def work(volume: PromptedVolume) -> Response:
            volume.add_box(given.get("bbox_coords"), adds=adds)
            try:
                return updated(volume, run=run)
            except Exception:
                volume.undo()  # what could not be done is not said again with the next box
                raise

        answer: Response = await working(lease, work)
        return answer

    async def add_initial_seg(self, request: Request) -> Response:
        lease, meta = self.lease(request), meta_of(request)
        run, body = flag(meta, "run_prediction", default=False), await body_of(request, LARGEST)

        def work(volume: PromptedVolume) -> Response:
            volume.take_over(unpack(body))
            return updated(volume, run=run)

        answer: Response = await working(lease, work)
        return answer

    async def predict(self, request: Request) -> Response:
        """Answer a viewer that ran nothing with its prompts and now wants their mask."""
        lease = self.lease(request)
        answer: Response = await working(lease, lambda volume: updated(volume, run=True))
        return answer

    async def undo(self, request: Request) -> Response:
        lease = self.lease(request)
        answer: Response = await working(lease, lambda volume: updated(volume, run=volume.undo()))
        return answer

    async def unsupported(self, request: Request) -> Response:
        self.lease(request)
        raise UsageError(NOT_HERE)


async def working(lease: Lease, work: Work) -> Any:
    """Do something with a client's session, in a thread; its requests wait for each other."""

    def locked() -> Any:
        with lease.lock:
            return work(lease.volume)

    return await run_in_threadpool(locked)


def updated(volume: PromptedVolume, *, run: bool) -> Response:
    """Answer with what has changed in the mask; without `run` nothing is worked out."""
    changed = volume.update() if run else None
    if changed is None:
        return mask_answer({"ran_prediction": run, "bbox": None}, b"")
    bounds = [[part.start, part.stop] for part in changed.where]
    meta = {"ran_prediction": True, "bbox": bounds, "dtype": "uint8", "shape": list(changed.mask.shape)}
    return mask_answer(meta, pack(changed.mask.view("u1")))


def mask_answer(meta: Mapping[str, Any], content: bytes) -> Response:
    headers = {"X-Meta": json.dumps(meta, separators=(",", ":"))}
    return Response(content, media_type="application/octet-stream", headers=headers)


def check_target(volume: PromptedVolume, given: Mapping[str, Any]) -> None:
    """Check what the viewer keeps the mask in: it is in the viewer alone, and has to be of the image's shape."""
    if given.get("shape") != list(volume.shape):
        raise UsageError(
            f"the target buffer has the shape {str(given.get('shape'))[:60]}, the image {list(volume.shape)}"
        )
    if str(given.get("dtype")).rstrip("0123456789") not in ("bool", "int", "uint"):
        raise UsageError(f"the target buffer is of type {str(given.get('dtype'))[:20]!r}; whole numbers are needed")
    volume.forget()
