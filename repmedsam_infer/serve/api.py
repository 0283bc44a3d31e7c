"""nnInteractive's protocol over HTTP, as its client `nninteractive-client` 2.6 speaks it; for boxes and label maps.

Answers are JSON, or a mask; errors are {"detail": a sentence}. A lease is named by the header X-Lease-Token. Arrays go
in bodies (arrays.py), what belongs to them in the header X-Meta, as JSON.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from repmedsam_infer.serve.answers import Answers
from repmedsam_infer.serve.entrance import Entrance
from repmedsam_infer.serve.leases import Leases
from repmedsam_infer.serve.requests import guarded

SWEEP = 5.0  # seconds after which leases are checked for being over, again and again


def make_api(leases: Leases, entrance: Entrance) -> Starlette:
    """Return the ASGI application."""
    answers = Answers(leases)
    gets = {
        "healthz": answers.healthz,
        "capabilities": answers.capabilities,
        "lease_status": answers.lease_status,
    }
    posts = {
        "claim": answers.claim,
        "release": answers.release,
        "heartbeat": answers.heartbeat,
        "set_image": answers.set_image,
        "set_target_buffer": answers.set_target_buffer,
        "reset_interactions": answers.reset_interactions,
        "predict": answers.predict,
        "undo": answers.undo,
        "set_do_autozoom": answers.set_do_autozoom,
        "add_bbox_interaction": answers.add_bbox,
        "add_initial_seg_interaction": answers.add_initial_seg,
        "add_point_interaction": answers.unsupported,
        "add_scribble_interaction": answers.unsupported,
        "add_lasso_interaction": answers.unsupported,
    }

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(sweep_always(leases))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    routes = [Route(f"/{name}", guarded(answer), methods=["GET"]) for name, answer in gets.items()]
    routes += [Route(f"/{name}", guarded(answer), methods=["POST"]) for name, answer in posts.items()]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.add_middleware(entrance.middleware)
    return app


async def sweep_always(leases: Leases) -> None:
    while True:
        await asyncio.sleep(SWEEP)
        await run_in_threadpool(leases.sweep)
