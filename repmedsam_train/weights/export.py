"""A trained network to weights/: re-parameterized, in 16 bits, one file of numbers for all engines, checksums."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import openvino
import openvino.opset13
import torch
from numpy.typing import NDArray
from openvino.tools.ovc import convert_model
from torch import Tensor, nn

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.openvino_networks import numbers_of
from repmedsam_infer.engines.ports import DECODER, PROMPT_INPUTS, PROMPTS
from repmedsam_infer.engines.precision import ENCODERS
from repmedsam_infer.engines.weights import STORE, SUMS, find_weights, listing
from repmedsam_infer.network import RepMedSAM
from repmedsam_infer.network.focus import rois_around
from repmedsam_infer.network.repmedsam import IMAGE_SIZE
from repmedsam_train.weights.quantize import quantized
from repmedsam_train.weights.shared_constants import write_graph_over, write_weights
from repmedsam_train.weights.shipped_form import Encoder, EncoderInBf16, shipped_form, stored

# Operations whose constants are the weights that take up the room.
MULTIPLIED = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"}


class Prompts(nn.Module):
    """`RepMedSAM.prompts` as a module of its own, for tracing."""

    def __init__(self, model: RepMedSAM) -> None:
        super().__init__()
        self.model = model

    def forward(self, boxes: Tensor, rois: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.model.prompts(boxes, rois, self.model.embedding_shape[-1])


class Decoder(nn.Module):
    """`RepMedSAM.decode_prompts` of one image as a module of its own, for tracing."""

    def __init__(self, model: RepMedSAM) -> None:
        super().__init__()
        self.model = model

    def forward(self, embedding: Tensor, *prompts: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.decode_prompts(embedding, prompts, None)


def export(
    model: RepMedSAM,
    folder: Path,
    images: Sequence[NDArray[np.float32]] = (),
    calibration: Calibration | None = None,
) -> None:
    """Write the weight file, OpenVINO's encoder, prompts and decoder over it, and SHA256SUMS into `folder`.

    With `images`, (3, 256, 256) float32 in [0, 1], also an int8 encoder whose ranges are taken from them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fused = shipped_form(model)
    state = stored(fused.state_dict())
    metadata = {**fused.settings, **(calibration or Calibration()).metadata()}

    image_shape = (1, 3, IMAGE_SIZE, IMAGE_SIZE)
    in_bf16 = EncoderInBf16(fused)  # has to be there as long as its graph, which has the same memory
    encoder, encoder_in_bf16 = (
        to_openvino(module, (torch.zeros(image_shape),), [("image", image_shape)])
        for module in (Encoder(fused), in_bf16)
    )
    given = example_prompts(fused)
    inputs = [(name, (-1, 4)) for name, _ in zip(PROMPT_INPUTS, given, strict=False)]
    prompts = to_openvino(Prompts(fused), given, inputs)
    decoder = decoder_graph(fused)
    if images:
        path = folder / f"{ENCODERS['int8']}.xml"
        openvino.save_model(quantized(encoder, images), path, compress_to_fp16=False)
    graphs = {ENCODERS["fp32"]: encoder, ENCODERS["bf16"]: encoder_in_bf16, PROMPTS: prompts, DECODER: decoder}
    write_weights(folder, state, metadata, graphs)
    write_sums(folder, int8=bool(images))


def export_decoder(model: RepMedSAM, folder: Path) -> None:
    """Write the decoder's graph anew into a folder of weights that were exported from `model`; their numbers stay.

    Raises:
        ValueError: the graph needs numbers that the weight file has not.

    """
    write_graph_over(folder / STORE, DECODER, decoder_graph(shipped_form(model)))
    sums = {**find_weights(folder).sums, **sums_of(folder, [f"{DECODER}.xml"])}
    (folder / SUMS).write_text(listing(sums))


def example_prompts(fused: RepMedSAM) -> tuple[Tensor, ...]:
    """Return boxes, and with focus rois, for tracing: (3, 4) each."""
    boxes = torch.tensor([[8.0, 8.0, 64.0, 64.0]]).repeat(3, 1)
    return (boxes, rois_around(boxes)) if fused.focus else (boxes,)


def decoder_graph(fused: RepMedSAM) -> openvino.Model:
    with torch.inference_mode():
        example = Prompts(fused)(*example_prompts(fused))
    embedding = torch.zeros(1, *fused.embedding_shape)
    shapes = [
        ("embedding", tuple(embedding.shape)),
        *((f"prompt_{i}", (-1, *prompt.shape[1:])) for i, prompt in enumerate(example)),
    ]
    return to_openvino(Decoder(fused), (embedding, *example), shapes)


def to_openvino(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[tuple[str, tuple[int, ...]]]
) -> openvino.Model:
    """Return the traced module with its weights in 16 bits; -1 marks a side of any length."""
    with torch.inference_mode():
        converted = convert_model(module.eval(), example_input=example, input=[shape for _, shape in inputs])
    for port, (name, _) in zip(converted.inputs, inputs, strict=True):
        port.tensor.set_names({name})
    split_convolutions(converted)
    store_weights_in_16_bits(converted)
    return converted


def split_convolutions(graph: openvino.Model) -> None:
    """Write convolutions over concatenated maps as sums: of the widest of these and of the others. Less is copied so.

    The weights stay one constant, of which the graph takes its parts when it is compiled; `graph` is changed.
    """
    for convolution in graph.get_ops():
        if convolution.get_type_name() != "Convolution":
            continue
        joined, weights = (convolution.input_value(i) for i in (0, 1))
        (user, *others) = convolution.output(0).get_target_inputs()
        if joined.get_node().get_type_name() == "Concat" and not others and user.get_node().get_type_name() == "Add":
            biased = user.get_node()
            total = sum_of_parts(convolution, joined.get_node(), weights, biased.input_value(1 - user.get_index()))
            for one in biased.output(0).get_target_inputs():
                one.replace_source_output(total.output(0))


def sum_of_parts(
    convolution: openvino.Node, joined: openvino.Node, weights: openvino.Output, bias: openvino.Output
) -> openvino.Node:
    """Return what `convolution` of `joined` and `weights` gives, plus `bias`."""
    inputs = [joined.input_value(i) for i in range(joined.get_input_size())]
    widths = [one.get_partial_shape()[1].get_length() for one in inputs]
    unit = math.gcd(*widths)
    pieces = iter(openvino.opset13.split(weights, 1, sum(widths) // unit).outputs())
    parts = [openvino.opset13.concat([next(pieces) for _ in range(width // unit)], 1) for width in widths]
    widest = widths.index(max(widths))
    rest = [i for i in range(len(inputs)) if i != widest]
    of_widest = like(convolution, inputs[widest], parts[widest])
    of_rest = like(
        convolution,
        openvino.opset13.concat([inputs[i] for i in rest], 1),
        openvino.opset13.concat([parts[i] for i in rest], 1),
    )
    return openvino.opset13.add(openvino.opset13.add(of_widest, bias), of_rest)


def like(convolution: openvino.Node, data: openvino.Output, weights: openvino.Node) -> openvino.Node:
    """Return a convolution with the strides, pads and dilations of `convolution`."""
    has = convolution.get_attributes()
    return openvino.opset13.convolution(
        data, weights, has["strides"], has["pads_begin"], has["pads_end"], has["dilations"], has["auto_pad"]
    )


def store_weights_in_16_bits(converted: openvino.Model) -> None:
    """Halve the room that weights take: bf16 where that changes nothing (shipped_form.py), else fp16. All else stays
    fp32: it is small, and among it are positions that the converter worked out, which no other engine rounds.
    (compress_to_fp16 of `save_model` would round those, too.)
    """
    for constant in converted.get_ops():
        if constant.get_type_name() == "Constant" and constant.get_element_type() == openvino.Type.f32:
            users = constant.output(0).get_target_inputs()
            if any(user.get_node().get_type_name() in MULTIPLIED for user in users):
                kind = openvino.Type.bf16 if is_in_bf16(constant.data) else openvino.Type.f16
                widened = openvino.opset13.convert(openvino.opset13.constant(constant.data, kind), "f32")
                for user in users:
                    user.replace_source_output(widened.output(0))


def is_in_bf16(numbers: NDArray[np.float32]) -> bool:
    """Return whether bf16, which is the upper half of fp32, holds all of these."""
    return not np.any(np.ascontiguousarray(numbers).view(np.uint32) & 0xFFFF)


def write_sums(folder: Path, *, int8: bool) -> None:
    """SHA256SUMS of every weight file, in the format of sha256sum."""
    graphs = [ENCODERS["fp32"], ENCODERS["bf16"], PROMPTS, DECODER, *([ENCODERS["int8"]] if int8 else [])]
    names = {f"{graph}.xml" for graph in graphs} | {numbers_of(graph) for graph in graphs}
    (folder / SUMS).write_text(listing(sums_of(folder, names)))


def sums_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files by name."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
