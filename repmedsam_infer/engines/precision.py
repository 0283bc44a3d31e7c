"""Which arithmetic the networks run in."""

import os
from typing import Literal, NamedTuple, get_args

from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.errors import SetupError, UsageError
from repmedsam_infer.system.cpu import Processor, fast_formats, this_processor

Precision = Literal["fp32", "bf16", "int8"]
Wanted = Literal["auto", "fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# Graphs of the encoder, .xml. Those in fp32 and in bf16 have the same kernels. That in fp32 could be computed in bf16,
# too, but its kernels would become fp32 first, which takes a third of the time of loading it.
ENCODERS: dict[Precision, str] = {"fp32": "encoder", "bf16": "encoder_bf16", "int8": "encoder_int8"}
VARIABLE = "REPMEDSAM_PRECISION"  # what auto takes, where it is set
KINDS = ("pictures", "volumes")


class Choice(NamedTuple):
    """A precision, and why it was chosen, for people."""

    precision: Precision
    why: str


def choose_precision(wanted: str, weights: Weights, *, volumes: bool, processor: Processor | None = None) -> Choice:
    """`wanted`, or for auto what $REPMEDSAM_PRECISION names, or else the `fastest`.

    Args:
        wanted: one of Wanted.
        weights: those that are to be loaded.
        volumes: whether volumes are to be segmented, else pictures.
        processor: the one to choose for, if not this one.

    Raises:
        UsageError: there is no such precision, or a limit keeps OpenVINO from it.
        SetupError: int8 is wanted, and the weights were exported without it.

    """
    if wanted not in get_args(Wanted):
        raise UsageError(f"there is no precision '{wanted}'; choose one of: {', '.join(get_args(Wanted))}")
    processor = processor or this_processor()
    why, instead = "asked for", "use --precision auto"
    if wanted == "auto":
        wanted = from_variable(volumes=volumes)
        why, instead = f"{VARIABLE} names it", f"set {VARIABLE} to auto"
    if wanted == "int8" and not has_int8(weights):
        raise SetupError(f"the weights in {weights.folder} have no int8 encoder: {instead}")
    if wanted == "bf16" and "avx512_bf16" in processor.withheld:
        raise UsageError(f"OpenVINO is kept from bf16 arithmetic ({', '.join(processor.limits)}): {instead}")
    for precision in PRECISIONS:
        if wanted == precision:
            return Choice(precision, why)
    return fastest(weights, processor, volumes=volumes)


def from_variable(*, volumes: bool) -> str:
    """Return what $REPMEDSAM_PRECISION names: one precision for all, or pictures=bf16,volumes=int8; auto if nothing.

    Raises:
        UsageError: it is set to something else.

    """
    named = dict.fromkeys(KINDS, "auto")
    text = os.environ.get(VARIABLE, "").strip()
    for part in text.lower().split(",") if text else ():
        kind, _, precision = (word.strip() for word in part.rpartition("="))
        if kind not in ("", *KINDS) or precision not in get_args(Wanted):
            known = ", ".join(get_args(Wanted))
            raise UsageError(f"{VARIABLE} is '{text}': use one of {known}, or two, as pictures=bf16,volumes=int8")
        named |= dict.fromkeys([kind] if kind else KINDS, precision)
    return named[KINDS[volumes]]


def fastest(weights: Weights, processor: Processor, *, volumes: bool) -> Choice:
    """Return the precision that is known to be the fastest on such a processor with masks as accurate (model card).

    Volumes and pictures differ: an int8 encoder takes longer to load, and pays from a few slices on; not with AMX,
    where an encoding in bf16 takes 0.9 of the time of one in int8.
    """
    fast = fast_formats(processor)
    if "amx_bf16" in processor.flags:
        return Choice("bf16", "this processor multiplies bf16 fastest (AMX)")
    if volumes and "int8" in fast and has_int8(weights):
        return Choice("int8", "this processor multiplies 8-bit integers fastest (VNNI), which pays in volumes")
    if "bf16" in fast:
        return Choice("bf16", "this processor multiplies bf16 faster than fp32")
    if not processor.flags:
        return Choice("fp32", "it runs everywhere, and this system does not state what its processor is faster in")
    return Choice("fp32", "this processor is not known to be faster in anything else that starts as quickly")


def has_int8(weights: Weights) -> bool:
    """Return whether the weights were exported with an int8 encoder."""
    return f"{ENCODERS['int8']}.xml" in weights.sums


def encoder_of(precision: Precision, weights: Weights) -> str:
    """Return the name of the encoder's graph; weights of before there was one in bf16 have that in fp32 for it."""
    graph = ENCODERS[precision]
    return ENCODERS["fp32"] if precision == "bf16" and f"{graph}.xml" not in weights.sums else graph


def unquantized(precision: Precision) -> Literal["fp32", "bf16"]:
    """Return the arithmetic of all that is not int8: the decoder, and what the int8 encoder leaves out."""
    if precision == "int8":
        return "bf16" if "bf16" in fast_formats(this_processor()) else "fp32"
    return precision
