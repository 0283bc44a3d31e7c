"""Engines by name, with weights, precision and threads."""

import contextlib
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Literal, get_args

from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.precision import Choice, choose_precision
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import UsageError

EngineName = Literal["openvino", "torch", "onnxruntime"]


def import_engine(name: str) -> None:
    """Import OpenVINO, if it is the engine and installed: in another thread that would wait for imports of this one."""
    if name == "openvino":
        from repmedsam_infer.engines.openvino_import import import_openvino

        with contextlib.suppress(ImportError):  # `load_engines` raises a better error
            import_openvino()
        import_module("repmedsam_infer.engines.openvino")


def load_engine(name: str, weights: Weights, threads: int, precision: str = "auto", *, volumes: bool = False) -> Engine:
    """Load the network into an engine that uses `threads` threads, for pictures or for volumes; either can do both.

    Raises:
        UsageError: there is no engine of this name, or it cannot run in this precision.
        SetupError: the engine is not installed, or its weights are missing or damaged.

    """
    return load_engines(name, weights, threads, precision, volumes=volumes, jobs=1)[0]


def load_engines(
    name: str, weights: Weights, threads: int, precision: str, *, volumes: bool, jobs: int,
    begun: Callable[[], None] = lambda: None,
) -> Sequence[Engine]:  # fmt: skip
    """`jobs` engines that share their networks and `threads` threads, to be used at the same time.

    A picture has one image to encode, with all threads; of a volume every thread does slices of its own, which takes a
    fifth less time.

    begun: called when the encoder begins to be loaded, which takes longest and leaves Python's lock to other threads.

    Raises:
        UsageError, SetupError: as `load_engine` does; or the engine can do but one job at a time.

    """
    choice = check_engine(name, weights, precision, volumes=volumes)
    streams = max(1, threads // jobs) if volumes else 1
    # Imported here: an engine costs a second of start-up, and only one is used.
    if name == "openvino":
        from repmedsam_infer.engines.openvino import load_openvino

        return load_openvino(weights, threads, choice.precision, jobs, streams, begun, volumes=volumes)
    if name == "onnxruntime":
        from repmedsam_infer.engines.onnx.engine import load_onnx

        return load_onnx(weights, threads, jobs, streams)
    from repmedsam_infer.engines.torch import load

    if jobs > 1:
        raise UsageError("the engine 'torch' does one case at a time: leave out --jobs")
    return [load(weights, threads)]


def check_engine(name: str, weights: Weights, precision: str, *, volumes: bool) -> Choice:
    """Return the precision of that engine, which is not loaded yet.

    Raises:
        UsageError: there is no engine of this name, or it cannot run in this precision.
        SetupError: the weights cannot be had in this precision.

    """
    if name not in get_args(EngineName):
        raise UsageError(f"there is no engine '{name}'; choose one of: {', '.join(get_args(EngineName))}")
    if name == "torch" and precision not in ("auto", "fp32"):
        raise UsageError("the engine 'torch' is the reference and runs in fp32 only")
    if name == "onnxruntime" and precision not in ("auto", "fp32"):
        raise UsageError("the engine 'onnxruntime' runs in fp32 only")
    if name != "openvino":
        return Choice("fp32", "this engine has no other")
    return choose_precision(precision, weights, volumes=volumes)
