"""Images of SimpleITK, which callers of the Python API may have; nothing here needs it otherwise."""

from typing import Any

import numpy as np

from repmedsam_infer.errors import CaseReadError
from repmedsam_infer.formats.scan import Scan
from repmedsam_infer.formats.voxels.place import Place, scan_at


def scan_of_simpleitk(image: Any) -> Scan:
    """Return the volume, or the picture where it has two axes, of an image of SimpleITK.

    Raises:
        CaseReadError: it has other axes, or its voxels are neither grey nor RGB.

    """
    from SimpleITK import GetArrayFromImage

    axes, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if axes not in (2, 3) or components not in (1, 3):
        raise CaseReadError(
            f"image: has {axes} axes and {components} values a voxel; 2 or 3 axes, grey or RGB are needed"
        )
    place = Place(image.GetOrigin(), image.GetSpacing(), image.GetDirection())
    return scan_at("image", "image", np.asarray(GetArrayFromImage(image)), place)
