"""How sure a mask is: small networks that estimate the DSC of masks, fitted to one set of weights and beside them.

Their inputs are what segmentation/features.py and segmentation/open_ended.py take from the logits of each object. They
are few numbers, so that numpy runs them. How they are fitted: `repmedsam-train confidence`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
LARGEST_INPUT = 5.0  # standard deviations: what is farther from the training cases is taken for that far
PARTS = ("first", "all", "volume", "presence")


@dataclass(frozen=True)
class Perceptron:
    """Standardised inputs, layers with ReLU between them, outputs that are cut off to 0..1.

    mean, deviation: (F,) of the inputs. layers: weights (I, O) and biases (O,).
    """

    mean: F32
    deviation: F32
    layers: tuple[tuple[F32, F32], ...]

    def __call__(self, inputs: F32) -> F32:
        """(N, F) -> (N, O)."""
        x = np.clip((inputs - self.mean) / self.deviation, -LARGEST_INPUT, LARGEST_INPUT)
        for i, (weights, biases) in enumerate(self.layers):
            # Not @: numpy's threads for it would go on spinning (decoder_roi.py).
            x = np.einsum("ni,io->no", np.maximum(x, 0) if i else x, weights) + biases
        return np.clip(x, 0, 1).astype(np.float32)

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, F32]) -> Self:
        """Of arrays called `name`.mean, .deviation, .0.weights, .0.biases, .1.weights and so on.

        Raises:
            ValueError: one is missing, of the wrong shape, or not finite.

        """
        count = sum(key.startswith(f"{name}.") and key.endswith(".weights") for key in arrays)
        keys = [f"{name}.{i}" for i in range(count)]
        try:
            mean, deviation = arrays[f"{name}.mean"], arrays[f"{name}.deviation"]
            layers = tuple((arrays[f"{key}.weights"], arrays[f"{key}.biases"]) for key in keys)
        except KeyError as error:
            raise ValueError(f"{error.args[0]} is missing") from None
        if mean.ndim != 1:
            raise ValueError(f"{name} has no list of means")
        width = len(mean)
        for weights, biases in layers:
            if weights.ndim != 2 or biases.ndim != 1 or weights.shape != (width, len(biases)):
                raise ValueError(f"{name} has layers that do not go together")
            width = len(biases)
        if not layers or deviation.shape != mean.shape or not (deviation > 0).all():
            raise ValueError(f"{name} has no layers, or deviations that are not positive")
        if not all(np.isfinite(array).all() for layer in ((mean, deviation), *layers) for array in layer):
            raise ValueError(f"{name} has numbers that are not finite")
        return cls(mean, deviation, layers)

    def arrays(self, name: str) -> dict[str, F32]:
        """Return what `from_arrays` takes."""
        of_layers = {
            f"{name}.{i}.{kind}": array
            for i, layer in enumerate(self.layers)
            for kind, array in zip(("weights", "biases"), layer, strict=True)
        }
        return {f"{name}.mean": self.mean, f"{name}.deviation": self.deviation, **of_layers}


@dataclass(frozen=True)
class ConfidenceModel:
    """Estimates of the DSC of masks, 0 to 1, and of whether there is anything to segment.

    first: features of the mask of a box as given, (N, F) -> (N, K), of the masks of all K candidates of box_fit.py.
    all: features of the masks of all of them, (N, K * F) -> (N, K).
    volume: features of the mask of a 3D box, (N, V) -> (N, 1).
    presence: features of the mask on a slice, on the way from another one, (N, W) -> (N, 1): how likely it is, 0 to 1,
        that the object is on that slice.
    """

    first: Perceptron
    all: Perceptron
    volume: Perceptron
    presence: Perceptron

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, F32]) -> Self:
        """Raise ValueError where it is not what `arrays` gave."""
        return cls(*(Perceptron.from_arrays(name, arrays) for name in PARTS))

    def arrays(self) -> dict[str, F32]:
        """Return every array by name."""
        return {key: array for name in PARTS for key, array in getattr(self, name).arrays(name).items()}
