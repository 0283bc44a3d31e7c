"""ONNX files into a folder that can be used as weights: with their sums, what estimates confidence, and a licence."""

import hashlib
from pathlib import Path

from repmedsam_infer import __version__
from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.weights import CONFIDENCE, STORE, SUMS, Weights, find_weights, listing
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_infer.network import RepMedSAM
from repmedsam_train.weights.onnx_export import onnx_files

LICENCE = "LICENSE"  # beside weights that have one


def export_onnx(model: RepMedSAM, source: Path, folder: Path, calibration: Calibration) -> None:
    """Write encoder.onnx and decoder.onnx of `model`, which was read from `source`, into `folder`.

    In the folder of `source` they are added to its SHA256SUMS. Another folder becomes one of weights for the engine
    onnxruntime alone: what estimates the confidence of these weights' masks goes with them.

    Raises:
        UsageError: `folder` holds other weights than `source`, or cannot be written.
        SetupError: a file beside `source` is damaged; or the graphs do not give what torch gives.

    """
    store = folder / STORE
    if store.exists() and not store.samefile(source):
        raise UsageError(f"{folder} holds other weights than {source}: export {store}, or into another folder")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    beside = weights_beside(source, digest)
    about = {
        "repmedsam": __version__,
        "source_sha256": digest,
        **model.settings,
        **calibration.metadata(),
    }
    licence = source.parent / LICENCE
    if beside and licence.is_file():
        about["licence"] = licence.read_text(encoding="utf-8")
    files = onnx_files(model, about)
    sums: dict[str, str] = {}
    if folder.resolve() == source.parent.resolve():
        sums |= beside.sums if beside else {}
    elif beside and CONFIDENCE in beside.sums:
        files[CONFIDENCE] = beside.verified(CONFIDENCE)[0].read_bytes()
    sums |= {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (*files.items(), (SUMS, listing(sums).encode())):
            write_atomic(folder / name, content)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror})") from error


def weights_beside(source: Path, digest: str) -> Weights | None:
    """Return the weights that a file of this SHA-256 belongs to; None where it is one alone.

    Raises:
        SetupError: it belongs to weights, and is not what their sums say.

    """
    try:
        weights = find_weights(source.parent)
    except SetupError:
        return None
    if source.name in weights.sums and weights.sums[source.name] != digest:
        raise SetupError(f"{source} is damaged or was changed (SHA-256 differs from that in {SUMS}); fetch it again")
    return weights if source.name in weights.sums else None
