"""What names say: which outputs are folders, which files, and which are most likely misspelt."""

from pathlib import Path

import pytest

from repmedsam_infer.errors import CaseReadError, UsageError
from repmedsam_infer.formats import read_scan
from repmedsam_infer.formats.endings import output_path, own_ending


def test_outputs_are_folders_without_a_dot_with_a_slash_or_where_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "v1.2").mkdir()
    for text in ("masks", "new/masks", "masks.v2/", ".", "..", "../..", ".hidden", str(tmp_path / "v1.2"), "a.b/masks"):
        assert output_path(text) == Path(text)
    for text in ("l.nii.gz", "l.nii", "l.nrrd", "l.mha", "l.png", "l.dcm", "l.npz", "L.NII.GZ"):
        assert output_path(text) == Path(text)


@pytest.mark.parametrize("text", ["result.nii.gzz", "out/result.nifti", "result.gz", "l.seg", "l.hdr"])
def test_an_ending_that_nobody_writes_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=rf"^{Path(text).name}: label maps are written as .*\({Path(text).name}/\)$"):
        output_path(text)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + ".nii.gz", "nul\0.nii"])
def test_names_that_no_file_can_have_are_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(CaseReadError, match="name too long|not there"):
        read_scan(tmp_path / name)
    assert own_ending(tmp_path / name).startswith(".n")
    if "\0" not in name:
        with pytest.raises(UsageError, match="name too long"):
            output_path(str(tmp_path / name))
