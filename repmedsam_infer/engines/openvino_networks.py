"""The networks of OpenVINO: from the cache of compiled ones, else compiled from the weights and added to it.

Graphs are .xml files whose constants lie in the weight file that all engines share; the int8 encoder has a .bin.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from repmedsam_infer.engines.calibration import Calibration
from repmedsam_infer.engines.compiled_cache import Compiled, CompiledNetworks
from repmedsam_infer.engines.confidence import ConfidenceModel
from repmedsam_infer.engines.openvino_import import import_openvino
from repmedsam_infer.engines.ports import DECODER, PROMPTS, check_ports, go_together
from repmedsam_infer.engines.precision import ENCODERS, Precision, encoder_of, unquantized
from repmedsam_infer.engines.weights import STORE, Weights
from repmedsam_infer.errors import SetupError, UsageError, printable

Arithmetic = Literal["fp32", "bf16"]
HINTS: dict[Arithmetic, str] = {"fp32": "f32", "bf16": "bf16"}  # said aloud: OpenVINO would choose itself
NOTHING_TO_KEEP = "this OpenVINO cannot export compiled networks for this processor: every start compiles them"
NUMBERS = "WEIGHTS_PATH"  # where an imported network has its constants: they are not exported with
SMALL_CACHE = {"CACHE_MODE": "OPTIMIZE_SIZE"}
# Of the encoder in bf16: that OpenVINO compiles chains of small operations takes 20 ms and saves none. Not documented.
QUICKER = {"SNIPPETS_MODE": "DISABLE"}
# What OpenVINO raises for graphs that are damaged, most of it as RuntimeError.
FAULTS = (RuntimeError, ValueError, TypeError, IndexError, KeyError, OverflowError)
NO_CACHE = CompiledNetworks(None)


class Networks(NamedTuple):
    """What an engine runs, compiled, and what is known about it."""

    encoder: Any
    prompts: Any
    decoder: Any
    precision: Precision
    version: str
    calibration: Calibration
    confidence: ConfidenceModel | None


def load_networks(
    weights: Weights, threads: int, precision: Precision, streams: int, cache: CompiledNetworks, *, keep: bool,
    begun: Callable[[], None] = lambda: None,
) -> Networks:  # fmt: skip
    """Return the networks from `cache` where they are there, else compiled, and added to it.

    Raises:
        UsageError: this processor cannot run in this precision.
        SetupError: OpenVINO is not installed, or the weights are missing or damaged.
        OSError: with `keep`, where `cache` cannot be written; without, that is no error.

    """
    try:
        openvino = import_openvino()
    except ImportError as error:
        raise SetupError("the engine 'openvino' is not installed: pip install openvino") from error
    core = openvino.Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UsageError("this processor has no bf16 arithmetic: use fp32 (--precision, or REPMEDSAM_PRECISION)")
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": str(streams),
        "ENABLE_CPU_PINNING": "NO",  # two networks' threads would be pinned to one core, and leave another idle
    }
    if NUMBERS in core.get_property("CPU", "SUPPORTED_PROPERTIES"):
        settings |= SMALL_CACHE
    elif keep:
        raise SetupError(NOTHING_TO_KEEP)
    else:  # an older OpenVINO: networks of 140 MB would be kept
        cache = NO_CACHE
    loader = Loader(openvino, core, weights, settings, cache, keep, begun)
    try:
        loaded = loader.load_all(precision)
        if not go_together(*loaded):  # one of the cache is of another make
            loaded = replace(loader, cache=NO_CACHE).load_all(precision)
    except MemoryError as error:
        raise SetupError("there is not enough memory to load the networks") from error
    except RuntimeError as error:  # no thread can be started
        raise SetupError(f"the networks cannot be loaded: {reason(error)}") from error
    if not go_together(*loaded):
        raise SetupError(f"the networks in {weights.folder} do not go together; fetch the weights again")
    version = str(openvino.__version__).split("-")[0]
    return Networks(*loaded, precision, version, weights.calibration(), weights.confidence())


@dataclass(frozen=True)
class Loader:
    """Loads networks of `weights`; `settings` are OpenVINO's, but for the arithmetic."""

    openvino: Any
    core: Any
    weights: Weights
    settings: dict[str, str]
    cache: CompiledNetworks
    keep: bool
    begun: Callable[[], None]

    def load_all(self, precision: Precision) -> tuple[Any, Any, Any]:
        """Return encoder, prompts and decoder.

        Raises:
            SetupError: the weights are missing, not what their sums say, or no networks of ours.

        """
        arithmetic = unquantized(precision)
        encoder, (prompts, decoder) = in_parallel(
            lambda: self.load(encoder_of(precision, self.weights), arithmetic),
            lambda: (self.load(PROMPTS, "fp32"), self.load(DECODER, arithmetic)),
        )
        return encoder, prompts, decoder

    def load(self, part: str, arithmetic: Arithmetic) -> Any:
        names = f"{part}.xml", numbers_of(part)
        settings = {**self.settings, "INFERENCE_PRECISION_HINT": HINTS[arithmetic]}
        if part == ENCODERS["bf16"]:
            settings |= QUICKER
        identity = str(self.openvino.__version__), arithmetic, *(self.weights.sums.get(name, "") for name in names)
        numbers = self.weights.folder / names[1]
        compiled = self.cache.read(numbers, *identity)
        if part in ENCODERS.values():
            self.begun()
        if compiled is not None:
            with contextlib.suppress(*FAULTS):  # another OpenVINO that calls itself the same: compile
                network = self.ready(part, self.imported(part, compiled.blob, settings))
                if self.weights.crc32(names[1]) == compiled.numbers:  # last: another thread has worked it out by then
                    return network
        graph, numbers = self.weights.verified(*names)
        try:
            network, blob = self.compiled(part, self.core.read_model(graph, numbers), settings)
        except FAULTS as error:
            raise SetupError(f"OpenVINO cannot load {graph}: {reason(error)}; fetch the weights again") from error
        if blob is None and self.keep and self.cache.folder is not None:
            raise SetupError(NOTHING_TO_KEEP)
        if blob is not None:
            try:
                self.cache.write(Compiled(blob, self.weights.crc32(names[1])), numbers, *identity)
            except OSError:
                if self.keep:
                    raise
        return network

    def compiled(self, part: str, graph: Any, settings: dict[str, str]) -> tuple[Any, bytes | None]:
        """Return the network, and what a cache keeps of it, unless that is not needed or cannot be had."""
        network = with_settings(lambda given: self.core.compile_model(graph, "CPU", given), settings)
        if part != DECODER and self.cache.folder is None:
            return self.ready(part, network), None
        try:
            blob = bytes(network.export_model().getvalue())
            # Import orders the graph anew, and where two layouts are as good as each other the order decides: the
            # decoder's logits are rounded otherwise. So that a cache changes nothing, what runs is always imported.
            return self.ready(part, self.imported(part, blob, settings) if part == DECODER else network), blob
        except FAULTS:  # a processor that OpenVINO exports nothing for, or no network of ours
            return self.ready(part, network), None

    def imported(self, part: str, blob: bytes, settings: dict[str, str]) -> Any:
        if SMALL_CACHE.items() <= settings.items():
            settings = {**settings, NUMBERS: str(self.weights.folder / numbers_of(part))}
        compiled = self.openvino.Tensor(np.frombuffer(blob, np.uint8))
        return with_settings(lambda given: self.core.import_model(compiled, "CPU", given), settings)

    def ready(self, part: str, network: Any) -> Any:
        """Return the network, found to be one of `part`; but for an encoder it is run once."""
        check_ports(part, network)
        return network if part in ENCODERS.values() else warmed_up(network)


def numbers_of(graph: str) -> str:
    """Return the file that the constants of a graph lie in."""
    return f"{graph}.bin" if graph == ENCODERS["int8"] else STORE


def with_settings(load: Callable[[dict[str, str]], Any], settings: dict[str, str]) -> Any:
    """Return what `load` makes of the settings; without QUICKER where it fails: OpenVINO may have no such setting."""
    try:
        return load(settings)
    except FAULTS:
        if not QUICKER.items() <= settings.items():
            raise
        return load({name: value for name, value in settings.items() if name not in QUICKER})


def reason(error: Exception) -> str:
    """Return the last line of what OpenVINO says: those before it are places in its sources."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return printable(lines[-1].strip(), 200) if lines else type(error).__name__


def warmed_up(network: Any) -> Any:
    """Run the network for a single box and return it: its kernels are made at the first run, and here there is time."""
    network.create_infer_request().infer(
        [np.zeros([1 if side.is_dynamic else side.get_length() for side in port.partial_shape], np.float32)
         for port in network.inputs]
    )  # fmt: skip
    return network


def in_parallel(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """Results of both, the first worked out in another thread; errors are raised here."""
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(first)
        other = second()
        return started.result(), other
