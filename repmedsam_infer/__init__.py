"""RepMedSAM: box-prompted segmentation of medical images on an ordinary CPU. For research, not for diagnosis."""

from typing import TYPE_CHECKING

from repmedsam_infer.errors import CaseReadError, RepMedSAMError, SetupError, UsageError

if TYPE_CHECKING:
    from repmedsam_infer.result import ObjectResult as ObjectResult
    from repmedsam_infer.result import Result as Result
    from repmedsam_infer.segmenter import Segmenter as Segmenter

__version__ = "0.1.0"
__all__ = [
    "CaseReadError",
    "ObjectResult",
    "RepMedSAMError",
    "Result",
    "Segmenter",
    "SetupError",
    "UsageError",
    "__version__",
]
HOMES = {"ObjectResult": "result", "Result": "result", "Segmenter": "segmenter"}


def __getattr__(name: str) -> object:
    """`Segmenter` and what it returns, imported where they are first used: importing the package is instant."""
    if name in HOMES:
        from importlib import import_module

        return getattr(import_module(f"repmedsam_infer.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
