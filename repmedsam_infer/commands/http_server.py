"""How our servers run: quiet, bounded, ended within a second."""

import gc
from typing import TYPE_CHECKING

from repmedsam_infer.system.process import USUAL_COLLECTIONS

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette


def http_server(app: "Starlette") -> "uvicorn.Server":
    """Return the server of an application; it is given its socket when it is run."""
    import uvicorn

    gc.set_threshold(*USUAL_COLLECTIONS)
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=64,
        timeout_graceful_shutdown=1,
        ws="none",
    )
    return uvicorn.Server(config)
