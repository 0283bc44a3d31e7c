"""How a 3D box prompts its slices."""

from typing import Literal

from repmedsam_infer.errors import UsageError

# With sections of the ellipsoid in it; or with the extent of the mask on the slice before, from the middle outwards, as
# the challenge's baseline does it.
Propagation = Literal["ellipsoid", "follow"]
PROPAGATIONS: tuple[Propagation, ...] = ("ellipsoid", "follow")


def check_propagation(text: str) -> Propagation:
    """Return one of PROPAGATIONS. Raises UsageError where it is none."""
    for propagation in PROPAGATIONS:
        if propagation == text:
            return propagation
    raise UsageError(f"the propagation {text!r} is unknown; {', '.join(PROPAGATIONS)} are possible")
