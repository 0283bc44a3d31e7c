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

        from repmedsam_infer.engines.load import check_engine
        from repmedsam_infer.engines.weights import find_weights
        from repmedsam_infer.system.threads import available_threads

        self.threads, self.precision, self.weights = threads or available_threads(), precision, find_weights(weights)
        cv2.setNumThreads(self.threads)
        check_engine("openvino", self.weights, precision, volumes=False)
        self.lock = threading.Lock()
        self.shared: dict[bool, Network] = {}

    def __call__(self, *, volumes: bool) -> "Network":
        """Return that for volumes, or that for pictures."""
        from repmedsam_infer.engines.load import load_engine
        from repmedsam_infer.interactive.shared_engine import Network

        with self.lock:
            if volumes not in self.shared:
                engine = load_engine("openvino", self.weights, self.threads, self.precision, volumes=volumes)
                self.shared[volumes] = Network.of(engine)
            return self.shared[volumes]
