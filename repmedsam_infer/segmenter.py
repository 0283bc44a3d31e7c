"""RepMedSAM from Python: load it once, then give it images and boxes."""

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from repmedsam_infer.boxes import check_boxes
from repmedsam_infer.case import Case, Segmentation, check_images, make_case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import EngineName, check_engine, load_engine
from repmedsam_infer.engines.pool import EnginePool
from repmedsam_infer.engines.weights import find_weights
from repmedsam_infer.errors import UsageError
from repmedsam_infer.preprocess import Frame
from repmedsam_infer.segment import decode, object_mask, segment
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_infer.system.threads import available_threads

AXES_OF_3D_BOX = 6
IMAGE = "image"  # what messages call an array that has no file


class Segmenter:
    """The network, loaded once for any number of images.

        segmenter = Segmenter()
        labels = segmenter.segment(image, [[10, 20, 90, 80]])    # any number of boxes, picture or volume

        segmenter.set_image(image)                               # one box after another on one picture: each in a few
        mask = segmenter.masks([[10, 20, 90, 80]])[0]            # milliseconds, as the image is encoded once

    Images are uint8, 0 to 255: window CT, and scale MR and PET first. Not to be shared between threads.
    """

    def __init__(
        self, *, engine: EngineName = "openvino", precision: str = "auto", threads: int = 0, weights: Path | None = None
    ) -> None:
        """Options as of `repmedsam predict`; `threads` 0 means all that this process may use.

        The network is loaded with the first picture, and that for volumes with the first volume.

        Raises:
            UsageError: there is no such engine or precision.
            SetupError: the weights are missing; with the first image: they are damaged, or the engine is not installed.

        """
        threads = threads or available_threads()
        cv2.setNumThreads(threads)
        self.weights = find_weights(weights)
        check_engine(engine, self.weights, precision, volumes=False)
        self.pool = EnginePool(lambda volumes: [load_engine(engine, self.weights, threads, precision, volumes=volumes)])
        self.shown: tuple[Frame, NDArray[np.float32]] | None = None

    def engine(self, *, volumes: bool) -> Engine:
        """Return the engine for pictures or for volumes, loaded when it is first asked for."""
        return self.pool.engines(volumes=volumes)[0]

    def segment_case(self, case: Case, watch: Stopwatch) -> Segmentation:
        """Labels of a case, as `segment` gives them, and on `watch` what took how long."""
        with watch("load"):
            engine = self.engine(volumes=case.is_volume)
        return segment(case, engine, watch)

    def segment(self, image: NDArray[Any], boxes: ArrayLike) -> Segmentation:
        """Labels of the image's shape: i + 1 where the mask of box i is, smaller boxes on top, 0 elsewhere.

        Args:
            image: a picture, (H, W) or (H, W, 3), or a volume, (D, H, W) or (D, H, W, 3).
            boxes: of a picture (N, 4) x_min y_min x_max y_max, of a volume (N, 6) x_min y_min z_min x_max y_max z_max;
                pixels, ends inclusive.

        Returns:
            (H, W) or (D, H, W) uint8, or uint16 for more than 255 boxes. A box that marks nothing leaves its label
            empty, with a warning.

        Raises:
            CaseReadError: image or boxes are not of these shapes, or the image is not of grey levels 0 to 255.

        """
        given = np.asarray(boxes)
        is_volume = given.ndim == 2 and given.shape[1] == AXES_OF_3D_BOX
        case = make_case(IMAGE, image, given, is_volume=is_volume)
        warn_of(case.warnings)
        return self.segment_case(case, Stopwatch())

    def set_image(self, image: NDArray[Any]) -> None:
        """Encode a picture (H, W) or (H, W, 3), for `masks`.

        Raises:
            CaseReadError: as in `segment`.

        """
        picture = check_images(IMAGE, np.asarray(image), is_volume=False)
        frame = Frame(*picture.shape[:2])
        self.shown = frame, self.engine(volumes=False).encode(frame.place_image(picture))

    def masks(self, boxes: ArrayLike) -> NDArray[np.bool_]:
        """(N, H, W) masks of (N, 4) boxes on the image that was set; they may overlap. A box that marks nothing has an
        empty one, with a warning.

        Raises:
            UsageError: no image was set.
            CaseReadError: boxes are not (N, 4) numbers.

        """
        if self.shown is None:
            raise UsageError("call set_image before masks")
        frame, embedding = self.shown
        engine = self.engine(volumes=False)
        usable, warned = check_boxes(IMAGE, np.asarray(boxes), (frame.height, frame.width))
        warn_of(warned)
        masks = np.zeros((usable.count, frame.height, frame.width), bool)
        if len(usable.labels):
            clip_boxes = frame.place_boxes(usable.corners.astype(np.float32))
            decoded = (
                decode(embedding, clip_boxes, clip_boxes, engine).low_res_logits + engine.calibration.picture_offset
            )
            for logits, clip_box, label in zip(decoded, clip_boxes, usable.labels.tolist(), strict=True):
                rows, columns, mask = object_mask(logits, clip_box, frame, focus=engine.focus)
                masks[label - 1, rows, columns] = mask
        return masks


def warn_of(warned: tuple[str, ...] | list[str]) -> None:
    for warning in warned:
        warnings.warn(warning, stacklevel=3)
