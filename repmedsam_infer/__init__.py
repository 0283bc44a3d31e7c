"""RepMedSAM: box-prompted segmentation of medical images on an ordinary CPU. For research, not for diagnosis."""

from typing import TYPE_CHECKING

from repmedsam_infer.errors import CaseReadError, RepMedSAMError, SetupError, UsageError

if TYPE_CHECKING:
    from repmedsam_infer.segmenter import Segmenter as Segmenter

__version__ = "0.1.0"
__all__ = ["CaseReadError", "RepMedSAMError", "Segmenter", "SetupError", "UsageError", "__version__"]


def __getattr__(name: str) -> object:
    """`Segmenter`, imported where it is first used: importing the package is instant."""
    if name == "Segmenter":
        from repmedsam_infer.segmenter import Segmenter

        return Segmenter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
