"""The encoder in int8: post-training quantisation by NNCF, calibrated on real training images.

Only what takes the time is quantised, the inputs and weights of 1 x 1 convolutions. The sums of residuals stay as they
are: in 8 bits they are what costs masks most. So do the stem, the first stage, squeeze-and-excitation, depthwise
convolutions, the neck, and what projects finer features for the decoder. Before that, SmoothQuant moves a part of what
differs between channels from activations into weights, which have a scale for each channel (docs/experiments.md).
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import nncf
import numpy as np
import openvino
from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters
from numpy.typing import NDArray

from repmedsam_infer.io.case_files import dataset_of
from repmedsam_infer.network.repvit import STAGES
from repmedsam_infer.preprocess import View
from repmedsam_train.data.stored_cases import find_training_cases, read_training_case

F32 = NDArray[np.float32]
# Convolutions that are left as they are, by parts of their names.
FIRST_STAGE = range(1, 1 + STAGES[0].blocks)
KEPT = (
    "image_encoder.features.0.",
    *(f"image_encoder.features.{block}." for block in FIRST_STAGE),
    ".fc1/",
    ".fc2/",
    "image_encoder.neck.",
    "high_res.",
)
DEPTHWISE = "GroupConvolution"
SMOOTHING = 0.5  # of SmoothQuant: 0 leaves all to the activations, 1 to the weights
CASES = 6  # of each data set


def quantized(encoder: openvino.Model, images: Sequence[F32]) -> openvino.Model:
    """Quantise weights and activations of the encoder to 8 bits, in the ranges of `images`, (3, 256, 256) in [0, 1]."""
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
        model_type=nncf.ModelType.TRANSFORMER,  # sums, means and normalisations are not quantised
        ignored_scope=nncf.IgnoredScope(names=kept),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            disable_bias_correction=True,  # of no use here
            smooth_quant_alphas=AdvancedSmoothQuantParameters(convolution=SMOOTHING, matmul=-1),
        ),
    )


def calibration_images(cases: Path) -> list[F32]:
    """(3, 256, 256) images of up to CASES cases of each data set of a folder, of a volume one slice with an object.

    Raises:
        UsageError: there are no cases.

    """
    rng = np.random.default_rng(0)
    by_dataset: defaultdict[str, list[Path]] = defaultdict(list)
    for path in find_training_cases(cases):
        by_dataset[dataset_of(path.name)].append(path)
    images = []
    for paths in by_dataset.values():
        for index in rng.permutation(len(paths))[:CASES]:
            case = read_training_case(paths[index])
            labels = np.unique(case.gts)[1:]
            on = [np.flatnonzero((case.gts == label).any((1, 2))) for label in labels]
            slices = np.concatenate(on) if on else np.arange(len(case.imgs))
            image = case.imgs[rng.choice(slices)]
            images.append(View(*image.shape[:2]).place_image(image))
    return images
