"""Two small ONNX graphs with the inputs and outputs of the real ones, and a folder of weights around them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from repmedsam_infer.engines.weights import SUMS, Weights, find_weights

FLOAT = TensorProto.FLOAT
METADATA = {"grid": "16", "focus": "true", "picture_offset": "0.25", "smallest_part": "0.1"}


def small_encoder(image: str = "image", side: int = 256, dtype: int = FLOAT) -> bytes:
    """Means of 16 x 16 pixels."""
    pool = helper.make_node("AveragePool", [image], ["embedding"], kernel_shape=[16, 16], strides=[16, 16])
    given = helper.make_tensor_value_info(image, dtype, [1, 3, side, side])
    made = helper.make_tensor_value_info("embedding", dtype, [1, 3, side // 16, side // 16])
    return saved(helper.make_graph([pool], "encoder", [given], [made]), METADATA)


def small_decoder(
    boxes: str = "boxes",
    side: int = 64,
    metadata: Mapping[str, str] = METADATA,
    embedded: tuple[int, ...] = (3, 16, 16),
) -> bytes:
    """Every logit, and the predicted IoU, is the mean of the box's numbers and its roi's."""
    constants = [
        numpy_helper.from_array(np.zeros((1, side, side), np.float32), "zeros"),
        numpy_helper.from_array(np.array([1]), "along"),
        numpy_helper.from_array(np.array([1, 2]), "behind"),
    ]
    nodes = [
        helper.make_node("Add", [boxes, "rois"], ["sum"]),
        helper.make_node("ReduceMean", ["sum", "along"], ["iou"], keepdims=0),
        helper.make_node("Unsqueeze", ["iou", "behind"], ["flat"]),
        helper.make_node("Add", ["flat", "zeros"], ["low_res_logits"]),
    ]
    shapes: dict[str, list[int | str]] = {"embedding": [1, *embedded], boxes: ["N", 4], "rois": ["N", 4]}
    made: dict[str, list[int | str]] = {"low_res_logits": ["N", side, side], "iou": ["N"]}
    inputs, outputs = (
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in ports.items()] for ports in (shapes, made)
    )
    return saved(helper.make_graph(nodes, "decoder", inputs, outputs, constants), metadata)


def with_numbers_in(location: str, content: bytes) -> bytes:
    """The same graph, but one of its constants lies in another file."""
    model = onnx.load_from_string(content)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model.SerializeToString(deterministic=True)


def saved(graph: onnx.GraphProto, metadata: Mapping[str, str]) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, dict(metadata))
    return model.SerializeToString(deterministic=True)


def weights_of(folder: Path, files: Mapping[str, bytes]) -> Weights:
    """Write files and their sums."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
    (folder / SUMS).write_text("".join(lines))
    return find_weights(folder)
