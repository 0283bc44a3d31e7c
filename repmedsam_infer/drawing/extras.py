"""What a drawing of masks can show beside them, where it is known."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from repmedsam_infer.drawing.anatomy import Ends


@dataclass(frozen=True)
class Extras:
    """Both of the image's shape, or None.

    truth: ground truth, a label map.
    ends: letters for the ends of each of its axes, slowest first.
    """

    truth: NDArray[Any] | None = None
    ends: Ends | None = None


NOTHING = Extras()
