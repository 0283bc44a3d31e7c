"""The networks of a server, shared by all who use it."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repmedsam_infer.interactive.shared_engine import Network


class Networks:
    """The networks for pictures and for volumes, each loaded when it is first needed."""

    def __init__(self, precision: str, threads: int, weights: Path | None) -> None:
        """Take options as of `repmedsam predict`; raise UsageError and SetupError where nothing can be loaded."""
        import cv2

        from repmedsam_infer.engines.load import check_engine, load_engine
        from repmedsam_infer.engines.pool import EnginePool
        from repmedsam_infer.engines.weights import find_weights
        from repmedsam_infer.system.threads import available_threads

        threads = threads or available_threads()
        cv2.setNumThreads(threads)
        found = find_weights(weights)
        check_engine("openvino", found, precision, volumes=False)
        self.pool = EnginePool(lambda volumes: [load_engine("openvino", found, threads, precision, volumes=volumes)])
        self.lock = threading.Lock()
        self.shared: dict[bool, Network] = {}

    def __call__(self, *, volumes: bool) -> "Network":
        """Return that for volumes, or that for pictures."""
        from repmedsam_infer.interactive.shared_engine import Network

        with self.lock:
            if volumes not in self.shared:
                self.shared[volumes] = Network.of(self.pool.engines(volumes=volumes)[0])
            return self.shared[volumes]
