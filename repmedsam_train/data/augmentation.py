"""How training samples are varied: crops, flips, turns, intensities, and boxes as people draw them."""

from dataclasses import dataclass

LOOSE = 3  # frame pixels by which a loose box is wider, on each side


@dataclass(frozen=True)
class Augmentation:
    """How samples are varied; probabilities in [0, 1], lengths in pixels of the 256-pixel frame."""

    box_jitter: float = 5.0  # paper section 3.2: up to 5 pixels a side
    box_jitter_relative: float = 0.1  # but no more than this fraction of the box's side (at least 1 pixel)
    tight_box: float = 0.6  # boxes left as they are
    loose_box: float = 0.08  # boxes wider than their objects
    volume_box: float = 0.7  # slices of a volume prompted as in inference, by a section of the ellipsoid in the 3D box
    flip: float = 0.5  # along each axis
    crop: float = 0.6
    smallest_crop: float = 0.4  # fraction of each side
    rotation: float = 0.25  # by up to 25 degrees
    transpose: float = 0.25
    intensity: float = 0.6
    inversion: float = 0.08
    grey: float = 0.1
    blur: float = 0.08
    noise: float = 0.08
    elastic: float = 0.2  # bent
    curve: float = 0.1  # of grey levels, at random
    field: float = 0.12  # uneven brightness
    coarse: float = 0.08  # seen through pixels of twice the side
    # Of volumes; 0, as networks trained with them have not been measured:
    loose_z: float = 0.0  # each end of a 3D box too long by a slice or two
    beyond: float = 0.0  # a slice or two beyond an end of the object, where there is nothing to find
    # Of a mammogram, instead of what is marked on it, one or both of:
    skin: float = 0.5  # stretches of its skin
    dense: float = 0.4  # regions of dense tissue


NO_AUGMENTATION = Augmentation(
    tight_box=1, loose_box=0, volume_box=1, flip=0, crop=0, rotation=0, transpose=0,
    intensity=0, inversion=0, grey=0, blur=0, noise=0, elastic=0, curve=0, field=0, coarse=0,
    loose_z=0, beyond=0, skin=0, dense=0,
)  # fmt: skip
