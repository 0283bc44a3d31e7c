"""Compiled networks: found only where they fit, never trusted when others can have written them or damaged, and giving
the very same masks.
"""

import os
import stat
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from repmedsam_infer.case import read_case
from repmedsam_infer.decoder_roi import rois_around
from repmedsam_infer.engines import compiled_cache as cache
from repmedsam_infer.engines.compiled_cache import MOST_FILES, Compiled, CompiledNetworks, compiled_networks, head
from repmedsam_infer.engines.load import load_engine
from repmedsam_infer.engines.openvino import OpenVINOEngine
from repmedsam_infer.engines.openvino_import import import_openvino
from repmedsam_infer.engines.openvino_networks import in_parallel, load_networks
from repmedsam_infer.engines.precision import Precision, choose_precision
from repmedsam_infer.engines.weights import CONFIDENCE, STORE, Weights
from repmedsam_infer.errors import SetupError
from repmedsam_infer.segmentation.segment import segment
from repmedsam_infer.system.cpu import LIMITS, this_processor
from repmedsam_infer.system.owned import NotOwnedError, check_owned
from repmedsam_infer.system.stopwatch import Stopwatch
from tests.conftest import Repmedsam

NUMBERS = Path(__file__)  # any file
IMAGE = np.random.default_rng(0).random((3, 256, 256), dtype=np.float32)
BOXES = np.array([[10 + i, 10, 90 + 8 * i, 90] for i in range(11)], np.float32)
USER = os.geteuid() if hasattr(os, "geteuid") else 0
posix = pytest.mark.skipif(sys.platform == "win32", reason="access lists of Windows are not read")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, weights: Weights) -> Path:
    folder = tmp_path_factory.mktemp("compiled") / "prepared"
    load_networks(weights, 2, "fp32", 1, CompiledNetworks(folder), keep=True)
    return folder


def loaded(
    weights: Weights, folder: Path | None, precision: Precision = "fp32", *, keep: bool = True
) -> OpenVINOEngine:
    return OpenVINOEngine(load_networks(weights, 2, precision, 1, CompiledNetworks(folder), keep=keep))


def results(engine: OpenVINOEngine) -> list[NDArray[np.float32]]:
    """What every network gives: embedding, prompts, logits, predicted IoU."""
    embedding = engine.encode(IMAGE)
    decoded = engine.decode(embedding, BOXES, rois_around(BOXES))
    prompts = engine.requests[0].prompts
    prompts.infer([BOXES, rois_around(BOXES)], share_inputs=True)
    return [embedding, *(np.array(tensor.data) for tensor in prompts.output_tensors), *decoded]


def assert_same_bits(ours: OpenVINOEngine, theirs: OpenVINOEngine) -> None:
    for one, other in zip(results(ours), results(theirs), strict=True):
        np.testing.assert_array_equal(one.view(np.uint32), other.view(np.uint32))


def compiling_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    verified = Weights.verified

    def refuse(self: Weights, *names: str) -> list[Path]:
        if names == (CONFIDENCE,):  # nothing of it is compiled
            return verified(self, *names)
        raise SetupError(f"{names} would be compiled")

    monkeypatch.setattr(Weights, "verified", refuse)


def copied(folder: Path, to: Path) -> Path:
    to.mkdir(mode=0o755)
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
        (to / path.name).chmod(0o644)
    return to


@pytest.mark.parametrize("precision", ["fp32", "pictures", pytest.param("volumes", marks=pytest.mark.slow)])
def test_every_network_gives_the_same_bits_with_and_without_a_cache(
    precision: str, weights: Weights, compiled: Path
) -> None:
    chosen = choose_precision("auto", weights, volumes=precision == "volumes").precision
    wanted: Precision = "fp32" if precision == "fp32" else chosen
    loaded(weights, compiled, wanted)  # fills it
    assert_same_bits(*(loaded(weights, folder, wanted) for folder in (compiled, None)))


@pytest.mark.parametrize("volumes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_whole_masks_are_the_same_with_and_without_a_cache(
    volumes: bool, weights: Weights, compiled: Path, samples: Path
) -> None:
    precision = choose_precision("auto", weights, volumes=volumes).precision
    loaded(weights, compiled, precision)
    engines = [loaded(weights, folder, precision) for folder in (compiled, None)]
    for path in sorted(samples.glob("3D*.npz" if volumes else "2D*.npz")):
        ours, theirs = (segment(read_case(path), engine, Stopwatch()).labels for engine in engines)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.any()


def test_a_prepared_network_is_not_compiled_again(
    prepared: Path, weights: Weights, openvino_engine: OpenVINOEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiling_fails(monkeypatch)
    assert_same_bits(loaded(weights, prepared), openvino_engine)


def test_it_is_small_as_the_numbers_stay_in_the_weights(prepared: Path) -> None:
    assert sum(path.stat().st_size for path in prepared.iterdir()) < 4 << 20


def test_on_another_processor_it_is_compiled(prepared: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    another = this_processor()._replace(identity=("another",))
    monkeypatch.setattr(cache, "this_processor", lambda: another)
    compiling_fails(monkeypatch)
    with pytest.raises(SetupError, match="would be compiled"):
        loaded(weights, prepared)


@pytest.mark.parametrize("variable", LIMITS)
def test_where_openvino_is_kept_from_instructions_it_is_another_network(
    variable: str, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = CompiledNetworks(prepared).path("1", "fp32")
    monkeypatch.setenv(variable, "AVX2")
    assert CompiledNetworks(prepared).path("1", "fp32") != before


def test_other_weights_or_another_precision_are_another_network(prepared: Path) -> None:
    networks = CompiledNetworks(prepared)
    assert networks.path("1", "fp32", "a") != networks.path("1", "fp32", "b")
    assert networks.path("1", "fp32", "a") != networks.path("1", "bf16", "a")
    assert networks.read(NUMBERS, "1", "fp32", "a") is None


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:1000], lambda content: content[:-1] + bytes([content[-1] ^ 1]), lambda _: b""],
    ids=["cut off", "one bit", "empty"],
)
def test_a_damaged_one_is_not_read(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    networks = CompiledNetworks(tmp_path / "cache")
    networks.write(Compiled(b"blob" * 1000, 7), NUMBERS, "a")
    path = networks.path("a")
    assert path is not None
    path.write_bytes(damage(path.read_bytes()))
    assert networks.read(NUMBERS, "a") is None


@pytest.mark.parametrize("doctored", ["nonsense", "of another part", "of another make"])
def test_a_doctored_one_is_compiled_instead(
    doctored: str, prepared: Path, weights: Weights, tmp_path: Path, openvino_engine: OpenVINOEngine
) -> None:
    folder = copied(prepared, tmp_path / "copy")
    paths = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)
    encoder, decoder = paths[1], paths[2]
    blob = {
        "nonsense": lambda: b"nonsense" * 1000,
        "of another part": lambda: decoder.read_bytes()[cache.HEAD.size :],
        "of another make": another_encoder,
    }[doctored]()
    encoder.write_bytes(head(Compiled(blob, weights.crc32(STORE)), weights.folder / STORE) + blob)
    assert_same_bits(loaded(weights, folder), openvino_engine)


def another_encoder() -> bytes:
    """A network with the inputs of the encoder, and other embeddings."""
    openvino = import_openvino()
    from openvino import opset13

    image = opset13.parameter([1, 3, 256, 256], np.float32, name="image")
    image.output(0).tensor.set_names({"image"})
    model = openvino.Model([opset13.relu(image)], [image])
    return bytes(openvino.Core().compile_model(model, "CPU").export_model().getvalue())


def test_a_cache_does_not_hide_that_the_weights_are_damaged(prepared: Path, weights: Weights, tmp_path: Path) -> None:
    for path in weights.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / STORE).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    with pytest.raises(SetupError, match="SHA-256 differs"):
        loaded(Weights(tmp_path, weights.sums), prepared)


@posix
@pytest.mark.parametrize(
    ("user", "mode", "trusted"),
    [
        (USER, 0o644, True),
        (USER, 0o700, True),
        (0, 0o755, True),  # an image's, for any user
        (USER + 1, 0o644, False),
        (USER, 0o664, False),
        (USER, 0o646, False),
        (0, 0o1777, False),
    ],
)
def test_only_what_nobody_else_can_have_written_is_trusted(user: int, mode: int, trusted: bool, tmp_path: Path) -> None:
    about = os.stat_result((mode, 0, 0, 1, user, 0, 0, 0, 0, 0))
    if trusted:
        check_owned(tmp_path, about)
    else:
        with pytest.raises(NotOwnedError):
            check_owned(tmp_path, about)


@posix
@pytest.mark.parametrize("of", ["folder", "files"])
def test_a_cache_that_others_can_write_is_refused_in_one_line_and_it_runs(
    of: str,
    prepared: Path,
    weights: Weights,
    tmp_path: Path,
    openvino_engine: OpenVINOEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = copied(prepared, tmp_path / "copy")
    for path in [folder] if of == "folder" else folder.iterdir():
        path.chmod(path.stat().st_mode | stat.S_IWGRP)
    assert_same_bits(loaded(weights, folder, keep=False), openvino_engine)
    assert len(caplog.messages) == 1
    assert "chmod go-w" in caplog.messages[0]
    assert "\n" not in caplog.messages[0]


@posix
@pytest.mark.parametrize("what", ["fifo", "folder", "link", "endless link"])
def test_what_is_no_file_is_neither_read_nor_waited_for(what: str, prepared: Path, tmp_path: Path) -> None:
    networks = CompiledNetworks(tmp_path)
    tmp_path.chmod(0o755)
    path = networks.path("a")
    assert path is not None
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if what == "endless link" else next(prepared.iterdir()))
    assert networks.read(NUMBERS, "a") is None


@posix
@pytest.mark.parametrize("what", ["fifo", "file", "device", "below a file"])
def test_a_cache_that_is_no_folder_is_no_error(
    what: str, weights: Weights, tmp_path: Path, openvino_engine: OpenVINOEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cache"
    if what == "fifo":
        os.mkfifo(folder)
    elif what == "device":
        folder = Path("/dev/null")
    else:
        folder.write_text("")
        folder = folder / "inside" if what == "below a file" else folder
    networks = CompiledNetworks(folder)
    assert networks.read(NUMBERS, "a") is None
    with pytest.raises(OSError, match="."):
        networks.write(Compiled(b"blob", 0), NUMBERS, "a")
    if what == "fifo":
        assert_same_bits(loaded(weights, folder, keep=False), openvino_engine)
    assert capfd.readouterr().err == ""


@posix
def test_what_is_written_is_trusted_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    networks = CompiledNetworks(folder)
    before = os.umask(0)
    try:
        networks.write(Compiled(b"blob", 7), NUMBERS, "a")
    finally:
        os.umask(before)
    assert networks.read(NUMBERS, "a") == Compiled(b"blob", 7)
    assert networks.read(folder / "nothing", "a") is None  # the numbers are gone


def test_the_first_run_fills_the_cache_and_the_second_does_not_compile(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPMEDSAM_CACHE", str(tmp_path / "new"))
    load_engine("openvino", weights, 2, "fp32")
    compiling_fails(monkeypatch)
    load_engine("openvino", weights, 1, "fp32", volumes=True)


def test_off_is_none(weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("REPMEDSAM_CACHE", "off")
    assert compiled_networks().folder is None
    load_engine("openvino", weights, 2, "fp32")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("system", "variables", "folder"),
    [
        ("linux", {}, "home/.cache/repmedsam"),
        ("linux", {"XDG_CACHE_HOME": "{}/xdg"}, "xdg/repmedsam"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/repmedsam"),
        ("darwin", {}, "home/Library/Caches/repmedsam"),
        ("win32", {"LOCALAPPDATA": "{}/local"}, "local/repmedsam/Cache"),
        ("linux", {"HOME": "relative"}, None),
    ],
)
def test_without_being_asked_it_is_in_the_users_cache_folder(
    system: str, variables: dict[str, str], folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REPMEDSAM_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    monkeypatch.setattr(sys, "platform", system)
    assert compiled_networks().folder == (tmp_path / folder if folder else None)


def test_it_does_not_grow(tmp_path: Path) -> None:
    networks = CompiledNetworks(tmp_path / "cache")
    networks.write(Compiled(b"first", 0), NUMBERS, "0")
    others = [tmp_path / "cache" / name for name in ("notes.txt", f".{'0' * 32}.blob.01234567.part")]
    for path in others:
        path.write_text("")
        os.utime(path, (0, 0))
    for i in range(MOST_FILES + 5):
        networks.write(Compiled(b"blob", 0), NUMBERS, str(i))
        written = networks.path(str(i))
        assert written is not None
        os.utime(written, (time.time() - 10**6 + i,) * 2)
        assert networks.read(NUMBERS, "0") is not None  # in use, and so not removed
    assert len(list((tmp_path / "cache").glob("*.blob"))) == MOST_FILES
    assert [path.exists() for path in others] == [True, False]


def test_first_runs_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    networks = CompiledNetworks(tmp_path / "cache")
    with ThreadPoolExecutor(8) as pool:
        for done in [
            pool.submit(networks.write, Compiled(b"blob" * 1000, 0), NUMBERS, str(i % 20)) for i in range(120)
        ]:
            done.result()
    assert networks.read(NUMBERS, "19") == Compiled(b"blob" * 1000, 0)


@pytest.mark.slow
def test_prepare_fills_a_folder(tmp_path: Path, repmedsam: Repmedsam) -> None:
    done = repmedsam("prepare", tmp_path / "compiled")
    assert done.code == 0
    assert len(list((tmp_path / "compiled").glob("*.blob"))) >= 3


def test_prepare_says_where_it_cannot_write(tmp_path: Path, repmedsam: Repmedsam) -> None:
    (tmp_path / "file").write_text("")
    done = repmedsam("prepare", tmp_path / "file")
    assert done.code == 2
    assert "could not be written" in done.err


def test_an_error_of_the_other_thread_is_raised() -> None:
    def fail() -> None:
        raise ValueError("of the first")

    with pytest.raises(ValueError, match="of the first"):
        in_parallel(fail, lambda: 1)
    assert in_parallel(lambda: 1, lambda: 2) == (1, 2)
