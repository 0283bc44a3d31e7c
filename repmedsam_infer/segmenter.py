"""RepMedSAM from Python: load it once, then give it images and boxes."""

import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from repmedsam_infer.boxes import check_boxes
from repmedsam_infer.case import Case, Segmentation, check_images, make_case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.load import EngineName, check_engine, load_engine
from repmedsam_infer.engines.pool import EnginePool
from repmedsam_infer.engines.weights import find_weights
from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.preprocess import Picture, View, Zoom, check_zoom
from repmedsam_infer.segment import decode_picture, object_mask, segment
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_infer.system.threads import available_threads

AXES_OF_3D_BOX = 6
COLOURS = 3
MOST_EMBEDDINGS = 16  # of one image that are kept
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
        self,
        *,
        engine: EngineName = "openvino",
        precision: str = "auto",
        threads: int = 0,
        weights: Path | None = None,
        zoom: Zoom = "auto",
    ) -> None:
        """Options as of `repmedsam predict`; `threads` 0 means all that this process may use.

        The network is loaded with the first picture, and that for volumes with the first volume.

        Raises:
            UsageError: there is no such engine, precision or zoom.
            SetupError: the weights are missing; with the first image: they are damaged, or the engine is not installed.

        """
        threads = threads or available_threads()
        cv2.setNumThreads(threads)
        self.weights = find_weights(weights)
        check_engine(engine, self.weights, precision, volumes=False)
        self.pool = EnginePool(lambda volumes: [load_engine(engine, self.weights, threads, precision, volumes=volumes)])
        self.zoom = check_zoom(zoom)
        self.shown: tuple[Picture, dict[View, NDArray[np.float32]]] | None = None

    def engine(self, *, volumes: bool) -> Engine:
        """Return the engine for pictures or for volumes, loaded when it is first asked for."""
        return self.pool.engines(volumes=volumes)[0]

    def segment_case(self, case: Case, watch: Stopwatch) -> Segmentation:
        """Labels of a case, as `segment` gives them, and on `watch` what took how long."""
        with watch("load"):
            engine = self.engine(volumes=case.is_volume)
        return segment(case, engine, watch, self.zoom)

    def segment(self, image: ArrayLike, boxes: ArrayLike) -> Segmentation:
        """Labels of the image's shape: i + 1 where the mask of box i is, smaller boxes on top, 0 elsewhere.

        Args:
            image: a picture, (H, W) or (H, W, 3), or a volume, (D, H, W) or (D, H, W, 3); an array, or what numpy makes
                one of: lists, PIL images, torch tensors on the CPU.
            boxes: of a picture (N, 4) x_min y_min x_max y_max, of a volume (N, 6) x_min y_min z_min x_max y_max z_max;
                pixels, ends inclusive.

        Returns:
            (H, W) or (D, H, W) uint8, or uint16 for more than 255 boxes. A box that marks nothing leaves its label
            empty, with a warning.

        Raises:
            CaseReadError: image or boxes are not of these shapes, or the image is not of grey levels 0 to 255.

        """
        array, given = np.asarray(image), np.asarray(boxes)
        is_volume = given.ndim == 2 and given.shape[1] == AXES_OF_3D_BOX
        if is_volume and array.ndim == 3 and array.shape[-1] == COLOURS:
            raise CaseReadError(
                f"{IMAGE}: boxes of six numbers are for volumes, and an image of shape {array.shape} is a picture in "
                "colours; give boxes x_min y_min x_max y_max, or a volume of shape (D, H, W)"
            )
        case = make_case(IMAGE, array, given, is_volume=is_volume)
        warn_of(case.warnings)
        return self.segment_case(case, Stopwatch())

    def set_image(self, image: ArrayLike) -> None:
        """Encode a picture (H, W) or (H, W, 3), for `masks`; close views of small boxes are encoded there, each once.

        Raises:
            CaseReadError: as in `segment`.

        """
        self.shown = None  # where this one is refused, the one before is not kept by mistake
        picture = Picture(check_images(IMAGE, np.asarray(image), is_volume=False))
        self.shown = picture, {}
        self.embedding(picture.whole)

    def embedding(self, view: View) -> NDArray[np.float32]:
        """Return the embedding of a view of the image that was set, encoded once."""
        assert self.shown is not None
        picture, embeddings = self.shown
        if view not in embeddings:
            if len(embeddings) >= MOST_EMBEDDINGS:
                del embeddings[list(embeddings)[1]]  # the oldest but for the whole view
            embeddings[view] = self.engine(volumes=False).encode(picture.place(view))
        return embeddings[view]

    def masks(self, boxes: ArrayLike) -> NDArray[np.bool_]:
        """(N, H, W) masks of (N, 4) boxes on the image that was set; they may overlap. A box that marks nothing has an
        empty one, with a warning.

        Raises:
            UsageError: no image was set.
            CaseReadError: boxes are not (N, 4) numbers.

        """
        if self.shown is None:
            raise UsageError("call set_image before masks")
        picture, _ = self.shown
        engine = self.engine(volumes=False)
        usable, warned = check_boxes(IMAGE, np.asarray(boxes), picture.image.shape[:2])
        warn_of(warned)
        masks = np.zeros((usable.count, *picture.image.shape[:2]), bool)
        if len(usable.labels):
            corners = usable.corners.astype(np.float32)
            decodings = decode_picture(picture.whole, corners, engine, Stopwatch(), self.zoom, self.embedding)
            for one, label in zip(decodings, usable.labels.tolist(), strict=True):
                rows, columns, mask = object_mask(one, focus=engine.focus)
                masks[label - 1, rows, columns] = mask
        return masks


def warn_of(warned: tuple[str, ...] | list[str]) -> None:
    for warning in warned:
        warnings.warn(warning, stacklevel=3)
