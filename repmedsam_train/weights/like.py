"""Weights that were trained on from others, made usable: what was fitted to the others goes along.

Offsets, smoothing and what estimates confidence are fitted to hundreds of cases (`repmedsam-train calibrate`,
`confidence`). Who goes on from weights with a few cases of their own has not as many, and has moved the network little.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.weights import CONFIDENCE, SUMS, find_weights, listing
from repmedsam_infer.errors import UsageError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.network import RepMedSAM
from repmedsam_train.weights.export import export


def export_like(
    model: RepMedSAM,
    folder: Path,
    like: Path,
    images: Sequence[NDArray[np.float32]] = (),
    calibration: Calibration | None = None,
) -> list[str]:
    """Write weights as `export` does, and into the same folder what was fitted to those in `like`.

    That is what estimates confidence; and their calibration, if `calibration` is neutral.

    Args:
        model: trained on from the weights in `like`.
        folder: where the weights go; another one than `like`.
        like: folder of weights.
        images: as of `export`.
        calibration: what `repmedsam-train calibrate` fitted to the model.

    Returns:
        what was taken over, in words.

    Raises:
        UsageError: both folders are one, or the networks are of different make.
        SetupError: there are no weights in `like`, or a file of theirs is damaged.

    """
    given = find_weights(like)
    if folder.resolve() == like.resolve():
        raise UsageError(f"{folder} holds the weights that were trained on from; name another folder")
    known = given.metadata()
    if any(known.get(key) != value for key, value in model.settings.items()):
        raise UsageError(f"the weights in {like} are of a network of another make: leave out --like")
    taken = []
    if calibration is None or calibration == Calibration():
        calibration = given.calibration()
        taken.append("calibration")
    confidence = given.verified(CONFIDENCE)[0].read_bytes() if CONFIDENCE in given.sums else b""
    export(model, folder, images, calibration)
    if confidence:
        write_atomic(folder / CONFIDENCE, confidence)
        sums = find_weights(folder).sums | {CONFIDENCE: given.sums[CONFIDENCE]}
        (folder / SUMS).write_text(listing(sums))
        taken.append("confidence")
    return taken
