"""docs/onnx.md is enough: its program, run as it stands there and without our code, gives our masks."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from repmedsam_infer.case import read_case
from repmedsam_infer.engines.engine import Engine
from repmedsam_infer.engines.onnx.files import BOXES, DECODER, ENCODER, IOU, LOGITS, ROIS
from repmedsam_infer.engines.ports import EMBEDDING, IMAGE
from repmedsam_infer.engines.weights import Weights
from repmedsam_infer.preprocess import View
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.stopwatch import Stopwatch

PAGE = (Path(__file__).parent.parent / "docs" / "onnx.md").read_text(encoding="utf-8")
PROGRAM = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
MOST_DIFFERING = 5  # pixels of an object, on the threshold


def test_the_program_needs_nothing_of_ours() -> None:
    imported = {
        name.name for node in ast.walk(ast.parse(PROGRAM)) if isinstance(node, ast.Import) for name in node.names
    }
    assert imported == {"cv2", "numpy", "onnxruntime"}
    assert "import " not in re.sub(r"^import \w+( as \w+)?$", "", PROGRAM, flags=re.MULTILINE)


@pytest.mark.parametrize("name", [ENCODER, DECODER, IMAGE, EMBEDDING, BOXES, ROIS, LOGITS, IOU])
def test_the_page_names_files_inputs_and_outputs(name: str) -> None:
    assert f"`{name}`" in PAGE


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 64), st.integers(0, 99))
def test_pixels_of_the_frame_are_means_over_the_area_that_they_cover(
    height: int, width: int, size: int, seed: int
) -> None:
    """As the page describes OpenCV's INTER_AREA, for those who have another library."""
    view = View(height, width, size)
    assume(is_exact(height, view.new_height) and is_exact(width, view.new_width))
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    wanted = covering(height, view.new_height) @ image @ covering(width, view.new_width).T
    assert np.abs(view.resized(image).reshape(wanted.shape) - wanted).max() <= 1


def is_exact(count: int, to: int) -> bool:
    """Whether edges that fall together are found to: OpenCV rounds some to just before, and takes the pixel before."""
    return all(int(part * (1 / (to / count))) == part * count // to for part in range(to))


def covering(count: int, to: int) -> NDArray[np.float64]:
    """(to, count) matrix: how much of each of `to` equal parts of a line is covered by each of `count`."""
    edges, ends = np.arange(count + 1) / count, np.arange(to + 1) / to
    overlap = np.minimum(ends[1:, None], edges[None, 1:]) - np.maximum(ends[:-1, None], edges[None, :-1])
    return np.maximum(overlap, 0) * to


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["US", "XRay", "Microscopy", "Dermoscopy"])
def test_the_program_gives_our_masks(
    modality: str, samples: Path, onnx_weights: Weights, openvino_engine: Engine, tmp_path: Path
) -> None:
    case = read_case(samples / f"2DBox_{modality}_phantom_0000.npz")
    image = case.imgs if case.imgs.ndim == 3 else np.repeat(case.imgs[..., None], 3, -1)
    cv2.imwrite(str(tmp_path / "image.png"), image[..., ::-1])
    np.savetxt(tmp_path / "boxes.csv", case.boxes.corners, "%d", delimiter=",")
    for name in (ENCODER, DECODER):
        shutil.copy(onnx_weights.folder / name, tmp_path)
    subprocess.run([sys.executable, "-I", "-W", "error", "-c", PROGRAM], cwd=tmp_path, check=True)
    labels = cv2.imread(str(tmp_path / "labels.png"), cv2.IMREAD_UNCHANGED)
    assert labels is not None
    ours = segment(case, openvino_engine, Stopwatch(), "off").labels
    assert ours.any()
    for label in case.boxes.labels:
        assert ((ours == label) != (labels == label)).sum() <= MOST_DIFFERING
