"""Weights are used only if they are the published ones."""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.weights import (
    CONFIDENCE,
    GRAPH_CONSTANTS,
    HEADER_LENGTH,
    METADATA,
    STORE,
    SUMS,
    Weights,
    find_weights,
    read_header,
)
from repmedsam_infer.errors import SetupError, UsageError
from tests.conftest import Repmedsam

MAX_FILE_BYTES = 95 << 20


def test_the_shipped_weights_are_whole_and_small(weights: Weights) -> None:
    paths = weights.verified(*weights.sums)
    assert {p.name for p in paths} >= {STORE, "encoder.xml", "encoder_bf16.xml", "decoder.xml", "prompts.xml"}
    assert all(p.stat().st_size < MAX_FILE_BYTES for p in paths)


def test_a_folder_without_weights_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no weights"):
        find_weights(tmp_path)


def test_the_environment_names_a_folder(weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(weights.folder / SUMS, tmp_path)
    monkeypatch.setenv("REPMEDSAM_WEIGHTS", str(tmp_path))
    assert find_weights().folder == tmp_path
    assert find_weights().sha256 == weights.sha256


@pytest.mark.parametrize("damage", ["changed", "missing", "unlisted"])
def test_damaged_weights_are_refused(
    damage: str, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPMEDSAM_CACHE", "off")  # of what is compiled already, graphs are not read
    for name in [SUMS, STORE, CONFIDENCE, "encoder.xml", "prompts.xml", "decoder.xml"]:
        shutil.copy(weights.folder / name, tmp_path)
    if damage == "changed":
        with (tmp_path / STORE).open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\x55")
    if damage == "missing":
        (tmp_path / "encoder.xml").unlink()
    if damage == "unlisted":
        (tmp_path / SUMS).write_text("")
    reason = {"changed": "SHA-256 differs", "missing": "cannot be read", "unlisted": "does not list"}[damage]
    with pytest.raises(SetupError, match=reason):
        load_engine("openvino", find_weights(tmp_path), 1, "fp32")


def test_only_the_files_that_are_there_are_listed(weights: Weights, tmp_path: Path) -> None:
    for name in (SUMS, STORE):
        shutil.copy(weights.folder / name, tmp_path)
    assert find_weights(tmp_path).present == [STORE]
    assert set(weights.present) == set(weights.sums)


def test_no_number_is_stored_twice(weights: Weights) -> None:
    """Beside the weight file only int8 has numbers of its own, and it is half as large."""
    numbers = {
        path.name: path.stat().st_size for path in weights.folder.iterdir() if path.suffix not in (".xml", ".md")
    }
    large = {name for name, size in numbers.items() if size > 1 << 20}
    assert large == {STORE, "encoder_int8.bin"}
    constants, end = read_header(weights.folder / STORE)[GRAPH_CONSTANTS]["data_offsets"]
    assert end - constants < 1 << 20
    assert numbers["encoder_int8.bin"] < 0.5 * numbers[STORE]


def test_an_unknown_engine_is_a_usage_error(weights: Weights) -> None:
    with pytest.raises(UsageError, match="openvino, torch"):
        load_engine("tensorrt", weights, 1)


Damage = Callable[[bytes], bytes]


def header_changed(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Damage of a safetensors file's header, whose length is made to fit."""

    def damage(content: bytes) -> bytes:
        end = HEADER_LENGTH.size + HEADER_LENGTH.unpack(content[: HEADER_LENGTH.size])[0]
        header = json.loads(content[HEADER_LENGTH.size : end])
        change(header)
        text = json.dumps(header).encode()
        return HEADER_LENGTH.pack(len(text)) + text + content[end:]

    return damage


def text(old: str, new: str) -> Damage:
    """Put `new` where a pattern is found first."""
    return lambda content: re.sub(old.encode(), new.encode(), content, count=1, flags=re.DOTALL)


def headed(header: bytes) -> Damage:
    return lambda content: HEADER_LENGTH.pack(len(header)) + header + content[-1000:]


def cut(share: float) -> Damage:
    return lambda content: content[: int(len(content) * share)]


DAMAGES: dict[str, tuple[str, Damage]] = {
    "an empty weight file": (STORE, lambda _: b""),
    "a length without a header": (STORE, lambda content: content[:8]),
    "a header that is cut off": (STORE, lambda content: content[:3000]),
    "numbers that are cut off": (STORE, cut(0.7)),
    "a header longer than any": (STORE, lambda content: b"\xff" * 8 + content[8:]),
    "a flipped bit of the header": (STORE, lambda content: content[:40] + bytes([content[40] ^ 128]) + content[41:]),
    "metadata that are a list": (STORE, headed(b'{"__metadata__": [1]}')),
    "JSON that is nested without end": (STORE, headed(b"[" * 200_000)),
    "metadata that are no numbers": (STORE, header_changed(lambda h: h[METADATA].update(volume_offset="often"))),
    "metadata out of range": (STORE, header_changed(lambda h: h[METADATA].update(slice_smoothing="1e300"))),
    "a confidence that is cut off": (CONFIDENCE, cut(0.5)),
    "a confidence without an array": (CONFIDENCE, header_changed(lambda h: h.pop("first.mean"))),
    "a confidence with a place that is a word": (
        CONFIDENCE,
        header_changed(lambda h: h["first.mean"].update(data_offsets=["0", None])),
    ),
    "a confidence of negative places": (
        CONFIDENCE,
        header_changed(lambda h: h["first.mean"].update(data_offsets=[-400, -4])),
    ),
    "a confidence of a shape without numbers": (CONFIDENCE, header_changed(lambda h: h["all.mean"].update(shape=[]))),
    "a confidence of an array that is none": (CONFIDENCE, header_changed(lambda h: h.update({"all.mean": None}))),
    "a graph that is cut off": ("prompts.xml", cut(0.5)),
    "a graph that is empty": ("prompts.xml", lambda _: b""),
    "a graph of nothing": ("prompts.xml", lambda _: b"<net/>"),
    "a graph of an unknown operation": ("prompts.xml", text('type="Add"', 'type="Sub"')),
    "constants beyond the weight file": ("prompts.xml", text(r'offset="\d+"', 'offset="18446744073709551615"')),
    "inputs of another name": ("prompts.xml", text('names="boxes"', 'names="crates"')),
    "inputs of another kind": ("prompts.xml", text('element_type="f32"', 'element_type="i64"')),
    "images of another size": ("encoder.xml", lambda content: content.replace(b"256", b"128", 2)),
    "a graph that is another's": ("decoder.xml", lambda _: (find_weights().folder / "prompts.xml").read_bytes()),
}


def damaged(weights: Weights, folder: Path, name: str, damage: Damage) -> Path:
    """Weights with one file damaged and sums that fit it."""
    for other in weights.sums:
        if other != name:
            (folder / other).symlink_to(weights.folder / other)
    content = damage((weights.folder / name).read_bytes())
    assert content != (weights.folder / name).read_bytes()
    (folder / name).write_bytes(content)
    sums = {**weights.sums, name: hashlib.sha256(content).hexdigest()}
    (folder / SUMS).write_text("".join(f"{digest}  {each}\n" for each, digest in sums.items()))
    return folder


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_weights_whose_sums_fit_are_one_line_without_noise(
    what: str, weights: Weights, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = damaged(weights, tmp_path, *DAMAGES[what])
    with pytest.raises(SetupError, match=re.escape(str(folder))) as raised:
        load_engine("openvino", find_weights(folder), 2, "fp32")
    assert len(str(raised.value).splitlines()) == 1
    assert "src/" not in str(raised.value)  # places in OpenVINO's sources
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage"),
    [("encoder_int8.bin", cut(0.5)), ("encoder_int8.bin", lambda _: b""), ("encoder_int8.xml", cut(0.9))],
)
def test_a_damaged_int8_encoder_is_one_line_too(
    name: str, damage: Damage, weights: Weights, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = damaged(weights, tmp_path, name, damage)
    with pytest.raises(SetupError, match=re.escape(str(folder))):
        load_engine("openvino", find_weights(folder), 2, "int8")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "damage",
    [
        cut(0.7),
        headed(b'{"__metadata__": [1]}'),
        header_changed(lambda h: h[METADATA].update(grid="many")),
        header_changed(lambda h: h.pop(next(reversed(h)))),
    ],
    ids=["cut off", "metadata", "settings", "a tensor is missing"],
)
def test_the_torch_engine_says_so_in_one_line_too(damage: Damage, weights: Weights, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = damaged(weights, tmp_path, STORE, damage)
    with pytest.raises(SetupError, match=re.escape(str(folder))) as raised:
        load_engine("torch", find_weights(folder), 1)
    assert len(str(raised.value).splitlines()) == 1


def test_damaged_weights_are_exit_code_3(weights: Weights, tmp_path: Path, samples: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "weights").mkdir()
    folder = damaged(weights, tmp_path / "weights", *DAMAGES["a graph that is cut off"])
    done = repmedsam("predict", "-i", samples, "-o", tmp_path / "out", "--weights", folder, "--precision", "fp32")
    assert done.code == 3
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("error: OpenVINO cannot load")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "C:\\x", "a\x1b[2Jb"])
def test_no_name_in_the_sums_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / SUMS).write_text(f"{'0' * 64}  {name}\n")
    with pytest.raises(SetupError, match="no file of this folder"):
        find_weights(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no FIFOs")
@pytest.mark.parametrize("name", [SUMS, STORE, CONFIDENCE, "prompts.xml"])
@pytest.mark.parametrize("what", ["fifo", "folder", "endless"])
def test_what_is_no_file_is_not_waited_for(name: str, what: str, weights: Weights, tmp_path: Path) -> None:
    for other in (SUMS, *weights.sums):
        if other != name:
            (tmp_path / other).symlink_to(weights.folder / other)
    if what == "fifo":
        os.mkfifo(tmp_path / name)
    elif what == "folder":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(SetupError, match="cannot be read"):
        find_weights(tmp_path).verified(name)
