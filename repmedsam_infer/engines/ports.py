"""What goes into each network of OpenVINO and what comes out: a graph that is of another kind is not run.

Weights that are damaged and compiled networks of another make would fail, or allocate without bounds, in the middle of
a case. N is the number of boxes, which is open until they are decoded.
"""

import math
from collections.abc import Sequence
from typing import Any

# Graphs, beside the encoders. Prompts are worked out apart, in fp32: positions need its digits, and masks follow (with
# all of the decoder in bf16 their IoU is 0.98, so 0.998; docs/experiments.md).
PROMPTS, DECODER = "prompts", "decoder"
PROMPT_INPUTS = ("boxes", "rois")  # the last one only with focus
IMAGE, EMBEDDING = "image", "embedding"
IMAGE_SHAPE = (1, 3, 256, 256)
OPEN = -1  # a side of N
MOST_NUMBERS = 1 << 24  # of one box, or image

Shape = tuple[int, ...]


def check_ports(part: str, network: Any) -> None:
    """Raise ValueError where a compiled network does not have the inputs and outputs of `part`, a graph's name."""
    ports = [*network.inputs, *network.outputs]
    if any(port.element_type.get_type_name() != "f32" for port in ports):
        raise ValueError("it takes or gives other numbers than float32")
    shapes = [shape_of(port) for port in ports]
    if any(math.prod(map(abs, shape)) > MOST_NUMBERS for shape in shapes):
        raise ValueError("its inputs or outputs are too large")
    count = len(network.inputs)
    names, inputs, outputs = [port.get_names() for port in network.inputs], shapes[:count], shapes[count:]
    if part == PROMPTS:
        fits = fits_prompts(names, inputs, outputs)
    elif part == DECODER:
        fits = fits_decoder(names, inputs, outputs)
    else:
        fits = inputs == [IMAGE_SHAPE] and IMAGE in names[0] and len(outputs) == 1 and is_map(outputs[0])
    if not fits:
        raise ValueError("its inputs or outputs are not those of this network")


def fits_prompts(names: Sequence[set[str]], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> bool:
    """Take boxes and rois, (N, 4) each, or boxes alone; each output begins with N."""
    expected = PROMPT_INPUTS[: len(inputs)]
    named = (
        len(inputs) > 0 and len(expected) == len(inputs) and all(a in b for a, b in zip(expected, names, strict=True))
    )
    return named and set(inputs) == {(OPEN, 4)} and len(outputs) > 0 and all(map(is_for_boxes, outputs))


def fits_decoder(names: Sequence[set[str]], inputs: Sequence[Shape], outputs: Sequence[Shape]) -> bool:
    """Take an embedding and prompts, which begin with N; give logits (N, 1, 4G, 4G) and predicted IoU (N, 1)."""
    if len(inputs) < 2 or len(outputs) != 2 or EMBEDDING not in names[0] or outputs[1] != (OPEN, 1):
        return False
    side = outputs[0][-1] if outputs[0] else 0
    logits = side > 0 and side % 4 == 0 and outputs[0] == (OPEN, 1, side, side)
    return logits and is_map(inputs[0]) and all(map(is_for_boxes, inputs[1:]))


def go_together(encoder: Any, prompts: Any, decoder: Any) -> bool:
    """Whether the decoder takes what the two others give."""
    given = [shape_of(port) for port in (*encoder.outputs, *prompts.outputs)]
    return given == [shape_of(port) for port in decoder.inputs]


def is_map(shape: Shape) -> bool:
    """(1, C, H, W)."""
    return len(shape) == 4 and shape[0] == 1 and min(shape) > 0


def is_for_boxes(shape: Shape) -> bool:
    """(N, ...)."""
    return len(shape) > 1 and shape[0] == OPEN and min(shape[1:]) > 0


def shape_of(port: Any) -> Shape:
    return tuple(OPEN if side.is_dynamic else int(side.get_length()) for side in port.partial_shape)
