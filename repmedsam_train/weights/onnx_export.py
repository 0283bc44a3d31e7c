"""A trained network to encoder.onnx and decoder.onnx: two files that any runtime of ONNX runs (docs/onnx.md).

Exported by torch's exporter of `torch.export` graphs: it works shapes out once, where that of TorchScript, which is
deprecated, leaves a thousand operations in the decoder that work them out anew at every run. Opset 20 is the first
with GELU as one operation, which saves an eighth of the encoder's time, and every ONNX Runtime since 1.17 has it.
"""

import importlib
import logging
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from repmedsam_infer.engines.onnx.files import BOXES, DECODER, ENCODER, IOU, LOGITS, ROIS
from repmedsam_infer.engines.ports import EMBEDDING, IMAGE, IMAGE_SHAPE
from repmedsam_infer.errors import SetupError
from repmedsam_infer.network import RepMedSAM
from repmedsam_infer.network.focus import rois_around
from repmedsam_train.weights.shipped_form import Encoder, shipped_form

importlib.import_module("onnxscript")  # torch's exporter imports it when half of the work is done

OPSET, IR_VERSION = 20, 9  # of the same release of ONNX; nothing in the files needs a later one
OPEN_SIDE = "N"  # the number of boxes
HALVED = 256  # numbers that a constant has at least to be stored as fp16
TOLERANCE = 1e-4
CHECKED_COUNTS = (1, 3, 11)  # boxes

ABOUT = {
    IMAGE: "RGB, longest side resized to 256, min-max normalised to 0..1, zero-padded at the bottom and right",
    EMBEDDING: "of one image, from the encoder to the decoder",
    BOXES: "x_min y_min x_max y_max in pixels of the 256 x 256 frame, ends inclusive",
    ROIS: "left top right bottom edges of what the logits cover, in frame pixels",
    LOGITS: "positive inside the mask, before the offset of the calibration",
    IOU: "predicted IoU of each mask with the true one",
}
INTENDED_USE = (
    "Research on box-prompted segmentation of medical images; drawing masks that a person then checks and corrects. "
    "Not a medical device, not for diagnosis, treatment or triage."
)


class Decoder(nn.Module):
    """(1, C, H, W) embedding, (N, 4) boxes and, with focus, (N, 4) rois -> (N, 4G, 4G) logits, (N,) predicted IoU."""

    def __init__(self, model: RepMedSAM) -> None:
        super().__init__()
        self.model = model

    def forward(self, embedding: Tensor, boxes: Tensor, rois: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits, iou = self.model.decode(embedding, boxes, rois=rois)
        return logits[:, 0], iou[:, 0]


def onnx_files(model: RepMedSAM, metadata: Mapping[str, str]) -> dict[str, bytes]:
    """Return both files by name, checked by onnx and equal to torch in ONNX Runtime; `metadata` goes into each.

    Raises:
        SetupError: they are not equal.

    """
    fused = shipped_form(model)
    encoder, decoder = Encoder(fused).eval(), Decoder(fused).eval()
    random = torch.Generator().manual_seed(0)
    image = torch.rand(IMAGE_SHAPE, generator=random)
    with torch.inference_mode():
        embedding = encoder(image)
    prompts = [prompts_of(count, random, focus=fused.focus) for count in CHECKED_COUNTS]
    names = [EMBEDDING, BOXES, *([ROIS] if fused.focus else [])]
    graphs = {
        ENCODER: exported(encoder, (image,), [IMAGE], [EMBEDDING]),
        DECODER: exported(decoder, (embedding.clone(), *prompts[1]), names, [LOGITS, IOU]),
    }
    files = {}
    for name, graph in graphs.items():
        finish(graph, name, {**metadata, "intended_use": INTENDED_USE})
        onnx.checker.check_model(graph, full_check=True)
        files[name] = graph.SerializeToString(deterministic=True)
    check_equal(encoder, files[ENCODER], ENCODER, [(image,)])
    check_equal(decoder, files[DECODER], DECODER, [(embedding, *some) for some in prompts])
    return files


def prompts_of(count: int, random: torch.Generator, *, focus: bool) -> tuple[Tensor, ...]:
    """(count, 4) boxes anywhere on the frame, and rois."""
    ends = (torch.rand((count, 2, 2), generator=random) * 255).sort(dim=1).values
    boxes = ends.reshape(count, 4)
    return (boxes, rois_around(boxes)) if focus else (boxes,)


def exported(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Return the graph of a module; the first side of boxes and rois is open."""
    shapes = tuple({0: torch.export.Dim(OPEN_SIDE)} if name in (BOXES, ROIS) else None for name in inputs)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names packages that it does without
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch warns of calls of its own
        program = torch.export.export(module, example, dynamic_shapes=shapes)
        made = torch.onnx.export(
            program, input_names=inputs, output_names=outputs, opset_version=OPSET, dynamo=True, verbose=False
        )
    assert made is not None
    return made.model_proto


def finish(graph: onnx.ModelProto, name: str, metadata: Mapping[str, str]) -> None:
    """Leave in the graph what is needed, in half the room; say what it is."""
    store_as_fp16(graph.graph)
    for node in graph.graph.node:
        del node.metadata_props[:]  # places in sources
        node.doc_string = ""
    del graph.graph.metadata_props[:]
    del graph.graph.value_info[:]
    graph.graph.name = name.partition(".")[0]
    for port in (*graph.graph.input, *graph.graph.output):
        port.doc_string = ABOUT[port.name]
        for side in port.type.tensor_type.shape.dim:
            if side.dim_param:  # a number that torch gave it
                side.dim_param = OPEN_SIDE
    del graph.metadata_props[:]
    graph.ir_version = IR_VERSION
    helper.set_model_props(graph, dict(metadata))


def store_as_fp16(graph: onnx.GraphProto) -> None:
    """Store constants that fp16 holds exactly as fp16, each widened by a Cast, which runtimes do once, at loading.

    These are the weights: they are rounded to fp16 before (shipped_form.py). The files take 55 MB instead of 110, and
    the time to load and run them in ONNX Runtime is the same.
    """
    constants, casts = list(graph.initializer), []
    for tensor in constants:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        numbers = numpy_helper.to_array(tensor)
        if numbers.size >= HALVED and fits_fp16(numbers):
            half = f"{tensor.name}.fp16"
            casts.append(helper.make_node("Cast", [half], [tensor.name], f"{tensor.name}.cast", to=TensorProto.FLOAT))
            tensor.CopyFrom(numpy_helper.from_array(numbers.astype(np.float16), half))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def fits_fp16(numbers: NDArray[np.float32]) -> bool:
    """Whether fp16 holds all of these numbers exactly."""
    return bool(np.abs(numbers).max() <= np.finfo(np.float16).max) and np.array_equal(
        numbers.astype(np.float16).astype(np.float32), numbers
    )


def check_equal(module: nn.Module, content: bytes, name: str, examples: Sequence[tuple[Tensor, ...]]) -> None:
    """Raise SetupError where ONNX Runtime gives numbers that differ from torch's by more than TOLERANCE times the
    largest of an output, or times 1 if that is larger.
    """
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    ports = [port.name for port in session.get_inputs()]
    for given in examples:
        with torch.inference_mode():
            wanted = module(*given)
        outputs = session.run(None, {port: one.numpy() for port, one in zip(ports, given, strict=True)})
        for ours, one in zip(outputs, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
            expected = one.numpy()
            limit = TOLERANCE * max(1.0, float(np.abs(expected).max()))
            if ours.shape != expected.shape or not np.abs(ours - expected).max() <= limit:
                raise SetupError(f"{name} does not give what torch gives; nothing was written")
