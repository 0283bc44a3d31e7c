"""Which arithmetic the networks run in."""

from typing import Literal, NamedTuple, get_args

from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.system.cpu import fast_formats

Precision = Literal["fp32", "bf16", "int8"]
Wanted = Literal["auto", "fp32", "bf16", "int8"]
ENCODERS: dict[Precision, str] = {"fp32": "encoder", "bf16": "encoder", "int8": "encoder_int8"}  # .xml and .bin


class Choice(NamedTuple):
    """A precision, and why it was chosen, for people."""

    precision: Precision
    why: str


def choose_precision(wanted: str, weights: Weights, *, volumes: bool) -> Choice:
    """`wanted`, or for auto the fastest on this processor whose masks are as accurate (weights/MODEL_CARD.md).

    Volumes and pictures differ: an int8 encoder takes longer to load, and pays from a few slices on.

    Raises:
        UsageError: there is no such precision.
        SetupError: int8 is wanted, and the weights were exported without it.

    """
    if wanted not in get_args(Wanted):
        raise UsageError(f"there is no precision '{wanted}'; choose one of: {', '.join(get_args(Wanted))}")
    has_int8 = f"{ENCODERS['int8']}.xml" in weights.sums
    if wanted == "int8" and not has_int8:
        raise SetupError(f"the weights in {weights.folder} have no int8 encoder: use --precision auto")
    if wanted != "auto":
        return Choice(wanted, "asked for")  # type: ignore[arg-type]  # checked above
    fast = fast_formats()
    if volumes and "int8" in fast and has_int8:
        return Choice("int8", "this processor multiplies 8-bit integers fastest (VNNI), which pays in volumes")
    if "bf16" in fast:
        return Choice("bf16", "this processor multiplies bf16 faster than fp32")
    return Choice("fp32", "this processor is not known to be faster in anything else that starts as quickly")


def unquantized(precision: Precision) -> Literal["fp32", "bf16"]:
    """Return the arithmetic of all that is not int8: the decoder, and what the int8 encoder leaves out."""
    if precision == "int8":
        return "bf16" if "bf16" in fast_formats() else "fp32"
    return precision
