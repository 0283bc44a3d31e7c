"""Every kind of trial by name, and the good inputs alone, whose results are what they have to be beside bad ones."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.dicom_files import write_series
from tests.fuzz import good
from tests.fuzz.array_inputs import arrays
from tests.fuzz.box_inputs import boxes, label_maps
from tests.fuzz.command_lines import command_lines
from tests.fuzz.dicom_inputs import UPRIGHT, dicom
from tests.fuzz.faults import FAULTS
from tests.fuzz.npz_inputs import beside_good, npz
from tests.fuzz.picture_inputs import pictures
from tests.fuzz.result_inputs import results
from tests.fuzz.trial import INPUTS, OUTPUTS, Maker, Trial
from tests.fuzz.volume_inputs import meta_image, nifti, nrrd

KINDS: Mapping[str, Maker] = {
    "npz": npz,
    "arrays": arrays,
    "boxes": boxes,
    "labels": label_maps,
    "commands": command_lines,
    "nifti": nifti,
    "nrrd": nrrd,
    "meta": meta_image,
    "pictures": pictures,
    "dicom": dicom,
    "results": results,
}


def good_trials(work: Path, kinds: set[str]) -> list[Trial]:
    """Return trials of good inputs alone, for these kinds, in folders of their own under `work`."""
    trials = []
    if kinds & {"npz", "arrays", *FAULTS}:
        folder = _folder(work / "good_npz")
        trials.append(beside_good(folder, []))
    volumes = [("good", ending) for ending in (".nii", ".nrrd", ".mha", ".npz", ".nii.gz")]
    if kinds & {"nifti", "nrrd", "meta", *FAULTS}:
        for name, ending in volumes:
            folder = _folder(work / f"good{ending}")
            good.nifti(folder / INPUTS / "good.nii")
            trials.append(_segment(folder, f"{INPUTS}/good.nii", good.BOX_3D, ending, f"{name}{ending}"))
    if kinds & {"pictures", *FAULTS}:
        folder = _folder(work / "good_picture")
        (folder / INPUTS / "good.png").write_bytes(good.picture(".png"))
        trials.append(_segment(folder, f"{INPUTS}/good.png", good.BOX_2D, ".png", "good.png"))
    if "dicom" in kinds:
        for ending in (".nrrd", ".nii.gz", ".npz"):
            folder = _folder(work / f"good_dicom{ending}")
            write_series(folder / INPUTS / "good", good.ct(), UPRIGHT)
            trials.append(_segment(folder, f"{INPUTS}/good", good.BOX_3D, ending, f"dicom{ending}"))
    return trials


def _folder(path: Path) -> Path:
    (path / INPUTS).mkdir(parents=True)
    return path


def _segment(folder: Path, image: str, box: list[int], ending: str, reference: str) -> Trial:
    (folder / INPUTS / "boxes.json").write_text(json.dumps([box]))
    arguments = ["segment", image, "--boxes", f"{INPUTS}/boxes.json", "-o", OUTPUTS, "--format", ending]
    return Trial(folder, arguments, good={f"{OUTPUTS}/good{ending}": reference})
