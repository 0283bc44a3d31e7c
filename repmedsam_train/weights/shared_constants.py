"""OpenVINO graphs whose constants lie in the weight file that the torch engine and training read as well.

An OpenVINO model is a graph (.xml) in which every constant is an offset into a file of bytes. That file may as well be
a safetensors file: what is a parameter of the network is found there by its bytes, and what is not (a few hundred KB:
worked-out positions, shapes) is added to it as one tensor. So every number is stored once, for all engines.
"""

import hashlib
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino
import openvino.opset13
import torch
from safetensors.torch import save
from torch import Tensor

from repmedsam_infer.engines.weights import GRAPH_CONSTANTS, METADATA, STORE, data_start, read_header
from repmedsam_infer.io.atomic import write_atomic

ALIGNMENT = 8  # bytes: of the largest numbers among the constants, int64
SMALLEST = 64  # bytes: smaller constants that equal a parameter do so by chance

Graphs = Mapping[str, openvino.Model]  # by the names of their files


def write_weights(folder: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str], graphs: Graphs) -> None:
    """Write STORE with the tensors of `state` and the constants of `graphs`, and beside it each graph's .xml.

    Constants of `graphs` that equal a parameter rounded to fp16 are made fp16; `graphs` are changed.
    """
    parameters = {digest_of(bytes_of(tensor)): name for name, tensor in state.items()}
    parsed: dict[str, tuple[ET.ElementTree[ET.Element], bytes]] = {}
    for name, graph in graphs.items():
        store_parameters_as_fp16(graph, parameters)
        parsed[name] = serialised(graph)

    others, places = bytearray(), {}  # constants that are no parameters, and where in `others` each begins
    for tree, numbers in parsed.values():
        for data in constants_of(tree):
            content = content_of(data, numbers)
            digest = digest_of(content)
            if digest not in parameters and digest not in places:
                others += bytes(-len(others) % ALIGNMENT)
                places[digest] = len(others)
                others += content
    others += bytes(-len(others) % ALIGNMENT)
    constants = torch.from_numpy(np.frombuffer(bytes(others), np.int64).copy())
    store = folder / STORE
    write_atomic(store, save({**state, GRAPH_CONSTANTS: constants}, dict(metadata)))

    start = data_start(store)
    offsets = {name: start + entry["data_offsets"][0] for name, entry in read_header(store).items() if name != METADATA}
    for name, (tree, numbers) in parsed.items():
        for data in constants_of(tree):
            digest = digest_of(content_of(data, numbers))
            parameter = parameters.get(digest)
            at = offsets[parameter] if parameter else offsets[GRAPH_CONSTANTS] + places[digest]
            data.set("offset", str(at))
        write_atomic(folder / f"{name}.xml", ET.tostring(tree.getroot(), xml_declaration=True))


def write_graph_over(store: Path, name: str, graph: openvino.Model) -> None:
    """Write the .xml of `graph` beside a STORE that stays as it is, whose numbers are all that its constants may be.

    `graph` is changed: short lists of integers that the file has not are joined of integers that it has.

    Raises:
        ValueError: the file lacks a constant.

    """
    start, numbers = data_start(store), store.read_bytes()
    header = {key: entry["data_offsets"] for key, entry in read_header(store).items() if key != METADATA}
    first, end = (start + offset for offset in header.pop(GRAPH_CONSTANTS))
    others = numbers[first:end]
    names = {digest_of(numbers[start + low : start + high]): key for key, (low, high) in header.items()}
    store_parameters_as_fp16(graph, names)
    join_integers(graph, others)
    tree, content = serialised(graph)
    for data in constants_of(tree):
        wanted = content_of(data, content)
        parameter, place = names.get(digest_of(wanted)), place_in(others, wanted)
        if parameter is None and place < 0:
            raise ValueError(f"{store} lacks a constant of {len(wanted)} bytes: export all weights anew")
        data.set("offset", str(first + place if parameter is None else start + header[parameter][0]))
    write_atomic(store.parent / f"{name}.xml", ET.tostring(tree.getroot(), xml_declaration=True))


def join_integers(graph: openvino.Model, others: bytes) -> None:
    """Replace lists of integers that are not in `others` by concatenations of single ones, or of products of these."""
    for constant in graph.get_ops():
        if constant.get_type_name() != "Constant" or constant.get_element_type() != openvino.Type.i64:
            continue
        values = constant.data
        if values.ndim == 1 and values.size > 1 and place_in(others, values.tobytes()) < 0:
            joined = openvino.opset13.concat([integer(int(value), others) for value in values], 0)
            for user in constant.output(0).get_target_inputs():
                user.replace_source_output(joined.output(0))


def integer(value: int, others: bytes) -> openvino.Node:
    """Return [value], or where `others` lacks it the product of two that it has, if there are such."""
    for factor in (1, *(i for i in range(2, value) if value % i == 0)):
        parts = [np.array([part], np.int64) for part in ((value,) if factor == 1 else (factor, value // factor))]
        if all(place_in(others, part.tobytes()) >= 0 for part in parts):
            break
    else:
        parts = [np.array([value], np.int64)]
    constants = [openvino.opset13.constant(part) for part in parts]
    return constants[0] if len(constants) == 1 else openvino.opset13.multiply(*constants)


def place_in(others: bytes, wanted: bytes) -> int:
    """Return where in `others` these bytes are, at a multiple of ALIGNMENT; -1 if nowhere."""
    at = others.find(wanted)
    while at > 0 and at % ALIGNMENT:
        at = others.find(wanted, at + 1)
    return at


def store_parameters_as_fp16(graph: openvino.Model, parameters: Mapping[bytes, str]) -> None:
    """Make fp16 what is one of `parameters` but for that; its users get it widened, so that nothing is rounded."""
    for constant in graph.get_ops():
        if constant.get_type_name() == "Constant" and constant.get_element_type() == openvino.Type.f32:
            with np.errstate(over="ignore"):
                half = constant.data.astype(np.float16)
            if half.nbytes >= SMALLEST and digest_of(half.tobytes()) in parameters and (half == constant.data).all():
                widened = openvino.opset13.convert(openvino.opset13.constant(half), "f32")
                for user in constant.output(0).get_target_inputs():
                    user.replace_source_output(widened.output(0))


def serialised(graph: openvino.Model) -> tuple["ET.ElementTree[ET.Element]", bytes]:
    """Return the graph as OpenVINO writes it: XML, and the bytes that its constants' offsets count in."""
    with tempfile.TemporaryDirectory(prefix="repmedsam-") as scratch:
        path = Path(scratch) / "graph.xml"
        openvino.save_model(graph, path, compress_to_fp16=False)
        return ET.parse(path), path.with_suffix(".bin").read_bytes()  # noqa: S314 (written just before)


def constants_of(tree: "ET.ElementTree[ET.Element]") -> list[ET.Element]:
    """Return the elements that say where a constant's bytes are."""
    found = [layer.find("data") for layer in tree.iter("layer") if layer.get("type") == "Const"]
    return [data for data in found if data is not None]


def content_of(data: ET.Element, numbers: bytes) -> bytes:
    start = int(data.attrib["offset"])
    return numbers[start : start + int(data.attrib["size"])]


def bytes_of(tensor: Tensor) -> bytes:
    """Return a tensor's numbers, of whatever type."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def digest_of(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
