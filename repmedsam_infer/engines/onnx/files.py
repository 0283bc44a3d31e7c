"""What the two ONNX files are called, what goes into each and what comes out: other graphs are not run.

N is the number of boxes, which is open until they are decoded.
"""

import math
from collections.abc import Sequence
from typing import Any

from repmedsam_infer.engines.ports import EMBEDDING, IMAGE, IMAGE_SHAPE, MOST_NUMBERS, OPEN, PROMPT_INPUTS

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
BOXES, ROIS = PROMPT_INPUTS
LOGITS, IOU = "low_res_logits", "iou"

Port = tuple[str, tuple[int, ...]]


def check_ports(encoder: Any, decoder: Any) -> None:
    """Raise ValueError where two sessions of ONNX Runtime are not those of an encoder and a decoder of ours."""
    ports = [port for session in (encoder, decoder) for port in (*session.get_inputs(), *session.get_outputs())]
    if any(port.type != "tensor(float)" for port in ports):
        raise ValueError("they take or give other numbers than float32")
    if any(math.prod(map(abs, shape_of(port))) > MOST_NUMBERS for port in ports):
        raise ValueError("their inputs or outputs are too large")
    made = named(encoder.get_outputs())
    given, decoded = named(decoder.get_inputs()), named(decoder.get_outputs())
    prompts = [(name, (OPEN, 4)) for name in (BOXES, ROIS)]
    fits = (
        named(encoder.get_inputs()) == [(IMAGE, IMAGE_SHAPE)]
        and is_embedding(made)
        and given in ([*made, prompts[0]], [*made, *prompts])
        and is_decoded(decoded)
    )
    if not fits:
        raise ValueError("their inputs or outputs are not those of this network")


def is_embedding(outputs: Sequence[Port]) -> bool:
    """(1, C, H, W), and nothing else."""
    return [name for name, _ in outputs] == [EMBEDDING] and len(outputs[0][1]) == 4 and outputs[0][1][0] == 1


def is_decoded(outputs: Sequence[Port]) -> bool:
    """Logits (N, 4G, 4G) and predicted IoU (N,)."""
    side = outputs[0][1][-1] if outputs and outputs[0][1] else 0
    return side > 0 and side % 4 == 0 and list(outputs) == [(LOGITS, (OPEN, side, side)), (IOU, (OPEN,))]


def named(ports: Sequence[Any]) -> list[Port]:
    return [(str(port.name), shape_of(port)) for port in ports]


def shape_of(port: Any) -> tuple[int, ...]:
    """Return the sides; those that have a name instead of a length are open."""
    return tuple(side if isinstance(side, int) else OPEN for side in port.shape)
