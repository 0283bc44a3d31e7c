"""MedSAM: SAM's ViT-B encoder at 1024 x 1024 pixels and SAM's heads. What it makes of a case, as its authors run it.

As published: every image is resized to a square of 1024 pixels, whatever its shape, and min-max normalised; boxes go
with it; probabilities are resized to the image and thresholded at 0.5. As with the other networks here, slices of a
volume are prompted by sections of the ellipsoid in the 3D box, masks are clipped to their boxes, and where masks
overlap the smaller box lies on top.
"""

from typing import ClassVar, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repmedsam_infer.boxes import bottom_to_top
from repmedsam_infer.case import Case, Segmentation
from repmedsam_infer.postprocess import paint, roi_logits
from repmedsam_infer.preprocess import SMALLEST_RANGE, View
from repmedsam_infer.segmentation.ellipsoid import volume_box_of
from repmedsam_train.comparison.vit import ViT
from repmedsam_train.comparison.whole_square import WholeSquareNetwork

SIDE = 1024  # pixels of the square that is encoded
AT_ONCE = 8  # boxes that are decoded together
F32 = NDArray[np.float32]


class MedSAM(WholeSquareNetwork):
    """The square has 1024 pixels a side."""

    settings: ClassVar[dict[str, str]] = {"network": "medsam"}  # the metadata of a weight file

    def __init__(self, image_encoder: ViT | None = None, size: int = SIDE) -> None:
        """ViT-B, or another encoder of squares of `size` pixels."""
        super().__init__(ViT(size) if image_encoder is None else image_encoder, size)


class SquareNetwork(Protocol):
    """What encodes squares of `size` pixels and decodes boxes on them, as `MedSAM` does."""

    @property
    def size(self) -> int: ...

    def encode(self, images: Tensor) -> Tensor: ...

    def decode(self, embedding: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]: ...


def segment_by_medsam(case: Case, network: SquareNetwork, device: torch.device) -> Segmentation:
    """(H, W) or (D, H, W) labels of all boxes of a case; one encoding for every slice that has a box."""
    segs = case.empty_segmentation()
    height, width = case.shape[-2:]
    corners, labels = case.boxes.corners, case.boxes.labels
    order = bottom_to_top(corners).tolist()
    if not case.is_volume:
        paint_boxes(segs, case.imgs, corners[order].astype(np.float32), None, labels[order], network, device)
        return segs
    pixels = View(height, width, max(height, width))  # a frame of the image's own pixels
    boxes = [volume_box_of(corners[i], int(labels[i]), pixels) for i in order]
    for z in sorted({z for box in boxes for z in range(box.first, box.last + 1)}):
        here = [box for box in boxes if box.first <= z <= box.last]
        prompts, clip_boxes = np.stack([box.section(z) for box in here]), np.stack([box.clip_box for box in here])
        of_boxes = np.array([box.label for box in here])
        paint_boxes(segs[z], case.imgs[z], prompts, clip_boxes, of_boxes, network, device)
    return segs


@torch.inference_mode()
def paint_boxes(
    segs: Segmentation,
    image: NDArray[np.uint8],
    prompts: F32,
    clip_boxes: F32 | None,
    labels: NDArray[np.int64],
    network: SquareNetwork,
    device: torch.device,
) -> None:
    """Write the masks of N boxes (N, 4), in image pixels, into (H, W) `segs`; later ones lie on top."""
    if not len(labels):
        return
    height, width = segs.shape
    pixels, whole = View(height, width, max(height, width)), np.array([0, 0, width, height], np.float32)
    embedding = network.encode(torch.from_numpy(square(image, network.size)[None]).to(device))
    scaled = prompts * (np.float32(network.size) / np.array([width, height] * 2, np.float32))
    clip_boxes = prompts if clip_boxes is None else clip_boxes
    for first in range(0, len(labels), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        logits, _ = network.decode(embedding, torch.from_numpy(scaled[some]).to(device))
        probabilities = logits[:, 0].float().sigmoid().cpu().numpy()
        for probability, clip_box, label in zip(probabilities, clip_boxes[some], labels[some].tolist(), strict=True):
            rows, columns = pixels.pixels(clip_box)
            mask = roi_logits(probability, whole, pixels, rows, columns) > 0.5
            paint(segs[rows, columns], mask, label)


def square(image: NDArray[np.uint8], size: int) -> F32:
    """(H, W) or (H, W, 3) uint8 -> (3, size, size) in [0, 1]: resized, whatever its shape, and min-max normalised."""
    smaller = max(image.shape[:2]) > size
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    low, high = float(resized.min()), float(resized.max())
    normalised = (resized.astype(np.float32) - low) / max(high - low, SMALLEST_RANGE)
    return np.ascontiguousarray(np.broadcast_to(np.moveaxis(np.atleast_3d(normalised), -1, 0), (3, size, size)))
