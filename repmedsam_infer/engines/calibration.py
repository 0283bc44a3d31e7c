"""What is fitted to one set of weights and travels with them: offsets of the logits, smoothing, smallest part.

It is stored as text in the metadata of the weight file, beside the numbers that it was fitted to, and every engine has
it from there. A weight file without it gets the neutral values, which change nothing. How it is fitted:
`repmedsam-train calibrate`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

LARGEST_OFFSET = 20.0  # beyond it every mask is full or empty


@dataclass(frozen=True)
class Calibration:
    """Neutral by default.

    picture_offset, volume_offset: added to the logits of pictures, of volumes; -20 to 20. Volumes differ, as their
        slices are prompted by guessed sections, not by tight boxes.
    slice_smoothing: the weight of each of the two neighbouring slices in a volume's logits, 0 to 0.5; a slice itself
        has the rest.
    smallest_part: parts of a volume's mask that lie apart and have fewer voxels than this share of the largest part
        are dropped; 0 to 1.
    """

    picture_offset: float = 0.0
    volume_offset: float = 0.0
    slice_smoothing: float = 0.0
    smallest_part: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for what is out of range."""
        limits = {"slice_smoothing": (0.0, 0.5), "smallest_part": (0.0, 1.0)}
        for field in fields(self):
            value = getattr(self, field.name)
            low, high = limits.get(field.name, (-LARGEST_OFFSET, LARGEST_OFFSET))
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{field.name} is {value}; it has to be between {low} and {high}")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Of a weight file's metadata; what they do not name is neutral.

        Raises:
            ValueError: a value is no number, or out of range.

        """
        return cls(**{field.name: float(metadata[field.name]) for field in fields(cls) if field.name in metadata})

    def metadata(self) -> dict[str, str]:
        """Return what `from_metadata` reads."""
        return {field.name: f"{getattr(self, field.name):g}" for field in fields(self)}
