"""The encoder in int8: post-training quantisation by NNCF, calibrated on real training images.

Left in fp32 are the stem, the neck, what projects finer features for the decoder, and all depthwise convolutions: that
takes a quarter more time than quantising all, and brings masks closer to fp32 (docs/experiments.md).
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import nncf
import numpy as np
import openvino
from numpy.typing import NDArray

from repmedsam_infer.errors import UsageError
from repmedsam_infer.preprocess import Frame
from repmedsam_train.data import read_training_case

F32 = NDArray[np.float32]
KEPT = ("image_encoder.features.0.", "image_encoder.neck.", "high_res.")  # parts of the encoder, by their names
DEPTHWISE = "GroupConvolution"
CASES = 6  # of each data set


def quantized(encoder: openvino.Model, images: Sequence[F32]) -> openvino.Model:
    """The encoder with 8-bit weights and activations whose ranges are those of `images`, (3, 256, 256) in [0, 1]."""
    kept = [
        operation.get_friendly_name()
        for operation in encoder.get_ordered_ops()
        if operation.get_type_name() == DEPTHWISE
        or (operation.get_type_name() == "Convolution" and any(part in operation.get_friendly_name() for part in KEPT))
    ]
    return nncf.quantize(
        encoder,
        nncf.Dataset([image[None] for image in images]),
        subset_size=len(images),
        preset=nncf.QuantizationPreset.MIXED,  # activations after GELU are far from symmetric
        ignored_scope=nncf.IgnoredScope(names=kept),
    )


def calibration_images(cases: Path) -> list[F32]:
    """(3, 256, 256) images of up to CASES cases of each data set of a folder, of a volume one slice with an object.

    Raises:
        UsageError: there are no cases.

    """
    rng = np.random.default_rng(0)
    by_dataset: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(cases.glob("*.npz")):
        by_dataset[path.stem.rsplit("_", 1)[0]].append(path)
    if not by_dataset:
        raise UsageError(f"there are no .npz files in {cases}")
    images = []
    for paths in by_dataset.values():
        for index in rng.permutation(len(paths))[:CASES]:
            case = read_training_case(paths[index])
            slices = np.concatenate(list(case.slices.values())) if case.slices else np.arange(len(case.imgs))
            image = case.imgs[rng.choice(slices)]
            images.append(Frame(*image.shape[:2]).place_image(image))
    return images
