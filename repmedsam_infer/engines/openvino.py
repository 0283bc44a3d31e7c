"""The default engine: OpenVINO on the CPU. Needs no torch."""

import contextlib
from collections import defaultdict, deque
from collections.abc import Callable, Sequence, Set
from itertools import accumulate, pairwise
from threading import Lock
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from repmedsam_infer.engines.compiled_cache import compiled_networks
from repmedsam_infer.engines.engine import Decoded, teams
from repmedsam_infer.engines.openvino_networks import Networks, load_networks
from repmedsam_infer.engines.ports import PROMPT_INPUTS
from repmedsam_infer.engines.precision import Precision
from repmedsam_infer.engines.weights import Weights

F32 = NDArray[np.float32]
MAX_BATCH = 16  # boxes decoded at once: for 2 % less time than 8 in a picture of hundreds, and 20 MiB more
IN_TURN = 2  # batches: the network runs one while the other is read and filled
# Times, in what one box more adds to a batch:
BATCH = 2.5  # of a batch, whatever its size
NEW_SIZE = 30.0  # of a size that is new
NEW_IN_VOLUMES = 5.0  # the same, where it is likely to come again on the next slice


class BatchSizes:
    """How boxes are split into batches, for networks that were run for a single box. Threads may share it.

    OpenVINO makes kernels for every number of boxes when it first comes, which takes as long as decoding some thirty.
    So batches have sizes that came before, the last one filled up, as long as that loses less time than a new size
    takes. What is lost adds up: in a long run every size that often comes is had.

    new_size: what a new size costs, in the time that one box more takes.
    """

    def __init__(self, new_size: float = NEW_SIZE) -> None:
        self.new_size = new_size
        self.known = frozenset({1})
        self.lost: defaultdict[frozenset[int], float] = defaultdict(float)  # so far, for want of these sizes
        self.lock = Lock()

    def of_batches(self, count: int) -> list[int]:
        """Sizes of batches for `count` boxes, which may leave room in the last one."""
        largest, last = [MAX_BATCH] * (count // MAX_BATCH), [count % MAX_BATCH] * (count % MAX_BATCH > 0)
        with self.lock:
            options = [frozenset(sizes) - self.known for sizes in ((), largest, largest + last)]
            splits = {new: split(count, self.known | new) for new in options}
            times = {new: sum(BATCH + size for size in sizes) for new, sizes in splits.items()}
            best = min(options, key=lambda new: times[new] + self.new_size * len(new) - self.lost[new])
            for new in splits:
                self.lost[new] += max(0.0, times[best] - times[new])
            self.known |= best
            return splits[best]


def split(count: int, sizes: Set[int]) -> list[int]:
    """Return those of `sizes`, each as often as need be, that hold `count` boxes in the least time, largest first."""
    largest = max(sizes)
    many = max(0, count // largest - largest)
    best: list[tuple[float, list[int]]] = [(0.0, [])]
    for left in range(1, count - many * largest + 1):
        ways = [(size, best[max(0, left - size)]) for size in sizes]
        size, (time, others) = min(ways, key=lambda way: way[0] + way[1][0])
        best.append((time + BATCH + size, [*others, size]))
    return [largest] * many + sorted(best[-1][1], reverse=True)


class Requests(NamedTuple):
    """What one batch of boxes is decoded with."""

    prompts: Any
    decoder: Any

    @classmethod
    def of(cls, networks: Networks) -> Self:
        return cls(networks.prompts.create_infer_request(), networks.decoder.create_infer_request())


class OpenVINOEngine:
    """See `engines.Engine`. `sizes` are shared by all engines of the same networks."""

    name = "openvino"

    def __init__(self, networks: Networks, sizes: BatchSizes | None = None, in_turn: int = IN_TURN) -> None:
        self.precision, self.version = networks.precision, networks.version
        self.calibration, self.confidence = networks.calibration, networks.confidence
        self.encoder = networks.encoder.create_infer_request()
        self.sizes, self.in_turn = sizes or BatchSizes(), in_turn
        self.requests = [Requests.of(networks)]
        self.networks = networks
        self.focus = len(networks.prompts.inputs) == len(PROMPT_INPUTS)
        self.grid = int(networks.decoder.output(0).partial_shape[-1].get_length()) // 4
        self.workers: Sequence[OpenVINOEngine] = [self]

    def encode(self, image: F32) -> F32:
        self.encoder.infer([image[None]], share_inputs=True)
        # Copied: the output tensor is the next inference's, too.
        return np.array(self.encoder.get_output_tensor(0).data[0])

    def decode(self, embedding: F32, boxes: F32, rois: F32) -> Decoded:
        count = len(boxes)
        sizes = self.sizes.of_batches(count)
        total = sum(sizes)  # the last boxes again where batches are larger
        filled = np.minimum(np.arange(total), count - 1)
        inputs = [boxes[filled], rois[filled]] if self.focus else [boxes[filled]]
        decoded = Decoded(np.empty((total, 4 * self.grid, 4 * self.grid), np.float32), np.empty(total, np.float32))
        running: deque[tuple[Any, slice]] = deque()
        try:
            for number, some in enumerate(slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))):
                if number == len(self.requests) < self.in_turn:
                    self.requests.append(Requests.of(self.networks))
                if number >= self.in_turn:
                    finish(*running[0], decoded)
                    running.popleft()
                free = self.requests[number % self.in_turn]
                free.prompts.infer([array[some] for array in inputs], share_inputs=True)
                prompts = [tensor.data for tensor in free.prompts.output_tensors]
                running.append((free.decoder, some))
                free.decoder.start_async([embedding[None], *prompts], share_inputs=True)
            for decoder, some in running:
                finish(decoder, some, decoded)
        finally:
            for decoder, _ in running:  # also where one failed, or this was interrupted: the next batch needs them
                with contextlib.suppress(Exception):  # was raised already
                    decoder.wait()
        return Decoded(*(array[:count] for array in decoded))


def finish(decoder: Any, some: slice, decoded: Decoded) -> None:
    """Wait for a batch and copy what it gave."""
    decoder.wait()
    for i, array in enumerate(decoded):
        array[some] = decoder.get_output_tensor(i).data[:, 0]


def load_openvino(
    weights: Weights, threads: int, precision: Precision, jobs: int = 1, streams: int = 1,
    begun: Callable[[], None] = lambda: None, *, volumes: bool = False,
) -> list[OpenVINOEngine]:  # fmt: skip
    """`jobs` engines, each of `streams` that work together, on the same networks and `threads` threads in all.

    begun: as of `load_engines`.

    Raises:
        UsageError: this processor cannot run in this precision.
        SetupError: OpenVINO is not installed, or the weights are missing or damaged.

    """
    networks = load_networks(weights, threads, precision, jobs * streams, compiled_networks(), keep=False, begun=begun)
    sizes = BatchSizes(NEW_IN_VOLUMES if volumes else NEW_SIZE)
    in_turn = IN_TURN if threads >= 2 * jobs * streams else 1  # the other's prompts would take a thread more
    return teams(lambda: OpenVINOEngine(networks, sizes, in_turn), jobs, streams)
