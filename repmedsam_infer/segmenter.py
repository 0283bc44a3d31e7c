"""RepMedSAM from Python: load it once, then give it images and boxes."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import RLock
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
from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats import is_nibabel, scan_of
from repmedsam_infer.formats.boxes.file import NamedBoxes
from repmedsam_infer.formats.intensity import parse_window
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.scan_case import make_scan_case, with_open_ends
from repmedsam_infer.interactive.picture_masks import ViewEmbeddings, decode_boxes
from repmedsam_infer.preprocess import Picture, Zoom, check_zoom
from repmedsam_infer.result import Result, objects_of
from repmedsam_infer.segmentation.propagation import Propagation, check_propagation
from repmedsam_infer.segmentation.segment import doubts, segment
from repmedsam_infer.segmentation.segmented import Segmented
from repmedsam_infer.system.stopwatch import Stopwatch
from repmedsam_infer.system.threads import available_threads

AXES_OF_3D_BOX = 6
COLOURS = 3
IMAGE = "image"  # what messages call an array that has no file


class Segmenter:
    """The network, loaded once for any number of images.

        segmenter = Segmenter()
        result = segmenter.segment(image, [[10, 20, 90, 80]])    # any number of boxes, picture or volume
        result.labels, result.objects[0].confidence, result.warnings

        segmenter.set_image(image)                               # one box after another on one picture: each in a few
        mask = segmenter.masks([[10, 20, 90, 80]])[0]            # milliseconds, as the image is encoded once

    Arrays are uint8, 0 to 255: window CT, and scale MR and PET first. Files and images of nibabel and SimpleITK are
    rescaled as `repmedsam segment` does it. Threads may share one: their calls wait for each other.
    """

    def __init__(
        self,
        *,
        engine: EngineName = "openvino",
        precision: str = "auto",
        threads: int = 0,
        weights: Path | None = None,
        zoom: Zoom = "auto",
        propagation: Propagation = "ellipsoid",
    ) -> None:
        """Options as of `repmedsam predict`; `threads` 0 means all that this process may use.

        The network is loaded with the first picture, and that for volumes with the first volume.

        Raises:
            UsageError: there is no such engine, precision, zoom or propagation.
            SetupError: the weights are missing; with the first image: they are damaged, or the engine is not installed.

        """
        threads = threads or available_threads()
        cv2.setNumThreads(threads)
        self.weights = find_weights(weights)
        check_engine(engine, self.weights, precision, volumes=False)
        self.pool = EnginePool(lambda volumes: [load_engine(engine, self.weights, threads, precision, volumes=volumes)])
        self.zoom = check_zoom(zoom)
        self.propagation = check_propagation(propagation)
        self.lock = RLock()  # of what is shown
        self.shown: ViewEmbeddings | None = None

    def engine(self, *, volumes: bool) -> Engine:
        """Return the engine for pictures or for volumes, loaded when it is first asked for."""
        return self.pool.engines(volumes=volumes)[0]

    def segment_case(self, case: Case, watch: Stopwatch) -> Segmented:
        """Labels of a case and their confidence, and on `watch` what took how long."""
        with watch("load"):
            self.engine(volumes=case.is_volume)
        with self.pool.engine(volumes=case.is_volume) as engine:
            return segment(case, engine, watch, self.zoom, self.propagation)

    def segment(
        self,
        image: ArrayLike | Path | Any,
        boxes: ArrayLike,
        names: Sequence[str] | None = None,
        *,
        slices: int | Sequence[int] | None = None,
        window: str | None = None,
        volume: int | None = None,
    ) -> Result:
        """Segment what boxes mark on a picture or a volume.

        Args:
            image: a picture, (H, W) or (H, W, 3), or a volume, (D, H, W) or (D, H, W, 3): an array, or what numpy makes
                one of (lists, PIL images, torch tensors on the CPU). Or the path of a file, or of a folder of one DICOM
                series; or an image of nibabel or SimpleITK.
            boxes: of a picture (N, 4) x_min y_min x_max y_max, of a volume (N, 6) x_min y_min z_min x_max y_max z_max;
                indices of pixels in the image's own order, ends inclusive. A box that marks nothing leaves its label
                empty, with a warning.
            names: of the boxes, as many.
            slices: with (N, 4) boxes on a volume: the slice that each lies on, its index along the last axis of boxes
                of six; one for all, or one a box. How far their objects go on from there is found.
            window: of files and images of nibabel and SimpleITK: LEVEL,WIDTH or a name, as of `repmedsam segment`.
            volume: which one, from 0, of a file that holds several (times, channels, echoes).

        Returns:
            labels in the order of the image's own array: of nibabel's images (x, y, z), else slowest axis first.

        Raises:
            UsageError: there are more or fewer names or slices than boxes, there is no such window, or a volume is
                chosen of what is no file.
            CaseReadError: image or boxes are not of these shapes, or the array is not of grey levels 0 to 255.
            SetupError: what reads this kind of file is not installed.

        """
        given = np.asarray(boxes)
        count = len(np.atleast_2d(given)) if given.size else 0
        if names is not None and len(names) != count:
            raise UsageError(f"{len(names)} names for {count} boxes: as many are needed")
        called = list(names) if names is not None else [f"object {i}" for i in range(1, count + 1)]
        given, open_ended = (given, frozenset()) if slices is None else boxes_on_slices(given, slices, count)
        if volume is not None and not isinstance(image, str | Path):
            raise UsageError("a volume is chosen of a file; take the one that you mean out of an array or image before")
        scan = scan_of(image, volume)
        if scan is not None:
            boxes_of_scan = NamedBoxes(given, called, open_ended)
            return self.segment_scan(scan, boxes_of_scan, window, as_nibabel=is_nibabel(image))
        if window is not None:
            raise UsageError("a window is for files and images of nibabel and SimpleITK; arrays are 0 to 255 already")
        array = np.asarray(image)
        is_volume = given.ndim == 2 and given.shape[1] == AXES_OF_3D_BOX
        if is_volume and array.ndim == 3 and array.shape[-1] == COLOURS:
            raise CaseReadError(
                f"{IMAGE}: boxes of six numbers are for volumes, and an image of shape {array.shape} is a picture in "
                "colours; give boxes x_min y_min x_max y_max, or a volume of shape (D, H, W)"
            )
        case = make_case(IMAGE, array, given, is_volume=is_volume)
        if is_volume:
            case = replace(case, boxes=with_open_ends(IMAGE, case.boxes, open_ended, "z"))
        done = self.segment_case(case, Stopwatch())
        return self.result(done.labels, case, done, called, None)

    def segment_scan(self, scan: Scan, boxes: NamedBoxes, window: str | None, *, as_nibabel: bool) -> Result:
        """As `segment` for an image that knows where it lies."""
        of_window = None if window is None else parse_window(window)
        case, layout = make_scan_case(scan.name, scan, boxes.corners, of_window, boxes.open_ended)
        done = self.segment_case(case, Stopwatch())
        labels, names = layout.labels(done.labels), boxes.names
        spacing = None if scan.spacing is None else scan.spacing[-labels.ndim :].tolist()
        return self.result(labels.T if as_nibabel else labels, case, done, names, spacing)

    def result(
        self, labels: Segmentation, case: Case, done: Segmented, names: Sequence[str], spacing: list[float] | None
    ) -> Result:
        warned = (*case.warnings, *done.warnings, *doubts(case.boxes.labels, done.confidence))
        warn_of(warned)
        used = replace(case.boxes, corners=done.corners)
        return Result(labels, objects_of(labels, used, done.confidence, names, spacing), warned)

    def set_image(self, image: ArrayLike) -> None:
        """Encode a picture (H, W) or (H, W, 3), for `masks`; close views of small boxes are encoded there, each once.

        Raises:
            CaseReadError: as in `segment`.

        """
        with self.lock:
            self.shown = None  # where this one is refused, the one before is not kept by mistake
            embeddings = ViewEmbeddings(Picture(check_images(IMAGE, np.asarray(image), is_volume=False)))
            with self.pool.engine(volumes=False) as engine:
                embeddings.of(embeddings.picture.whole, engine)
            self.shown = embeddings

    def masks(self, boxes: ArrayLike) -> NDArray[np.bool_]:
        """(N, H, W) masks of (N, 4) boxes on the image that was set; they may overlap. A box that marks nothing has an
        empty one, with a warning.

        Raises:
            UsageError: no image was set.
            CaseReadError: boxes are not (N, 4) numbers.

        """
        with self.lock:
            if self.shown is None:
                raise UsageError("call set_image before masks")
            shape = self.shown.picture.image.shape[:2]
            usable, warned = check_boxes(IMAGE, np.asarray(boxes), shape)
            masks = np.zeros((usable.count, *shape), bool)
            with self.pool.engine(volumes=False) as engine:
                found = decode_boxes(usable.corners.astype(np.float32), self.shown, engine, self.zoom)
        for one, label in zip(found, usable.labels.tolist(), strict=True):
            masks[label - 1][one.where] = one.mask
        warn_of(warned)
        return masks


def boxes_on_slices(
    boxes: NDArray[Any], slices: int | Sequence[int], count: int
) -> tuple[NDArray[Any], frozenset[int]]:
    """(N, 4) boxes, and the slice of each or one for all -> (N, 6), and their places from 1: all are open-ended.

    Raises:
        UsageError: boxes are not (N, 4), or there are not as many slices.

    """
    rows = np.atleast_2d(boxes)
    on = np.broadcast_to(np.asarray(slices, np.float64), count) if np.ndim(slices) == 0 else np.asarray(slices)
    if rows.ndim != 2 or rows.shape[1] != AXES_OF_3D_BOX - 2 or on.shape != (count,):
        raise UsageError(f"slices belong to boxes of four numbers, one to each: {on.size} slices for {boxes.shape}")
    return np.column_stack([rows[:, :2], on, rows[:, 2:], on]), frozenset(range(1, count + 1))


def warn_of(warned: tuple[str, ...] | list[str]) -> None:
    for warning in warned:
        warnings.warn(warning, stacklevel=3)
