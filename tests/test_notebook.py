"""The notebook in docs runs from its first cell to its last, and what it shows in the repository is small."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebook.ipynb"
MOST_BYTES = 200_000


def outputs(cells: list[Any]) -> list[str]:
    """What cells printed."""
    return ["".join(out["text"]) for cell in cells for out in cell.get("outputs", []) if out["output_type"] == "stream"]


def stored() -> list[Any]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert isinstance(cells, list)
    return cells


def test_what_is_stored_is_small_whole_and_without_errors() -> None:
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    code = [cell for cell in stored() if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = [out["output_type"] for cell in code for out in cell["outputs"]]
    assert kinds.count("display_data") >= 2
    assert set(kinds) <= {"display_data", "execute_result", "stream"}


@pytest.mark.slow
def test_it_runs_and_saves_a_label_map_in_the_place_of_its_image(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    nibabel = pytest.importorskip("nibabel")

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where).execute()

    printed = outputs(notebook.cells)
    # Numbers depend on the processor's precision, in their last places; words do not.
    assert [re.sub(r"[\d.]+", "#", text) for text in printed] == [re.sub(r"[\d.]+", "#", t) for t in outputs(stored())]
    confidences = [float(found) for found in re.findall(r"confidence ([\d.]+)", "".join(printed))]
    assert min(confidences) > 0.8
    image, labels = nibabel.load(tmp_path / "ct.nii.gz"), nibabel.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(labels.affine, image.affine)
    assert np.unique(labels.dataobj).tolist() == [0, 1, 2, 3, 4]
