"""The README's two pictures of the page, on drawn sample cases: python -m tests.page_pictures docs (make pictures)."""

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from repmedsam_infer.evaluation.phantoms import write_samples
from tests.app_server import running
from tests.browser import Page, chromium

# Of each: the sample that it is made of, the names of its boxes.
PICTURE = ("2DBox_XRay_phantom_0000", "lungs.png", ("right lung", "left lung"))
VOLUME = ("3DBox_CT_phantom_0000", "abdomen.nii.gz", ("liver", "right kidney", "left kidney", "aorta"))


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        samples = Path(scratch) / "samples"
        write_samples(samples)
        for name, (sample, file, objects) in (("page_picture", PICTURE), ("page_volume", VOLUME)):
            with np.load(samples / f"{sample}.npz") as case:
                image, boxes = write_image(Path(scratch) / file, case), case["boxes"].tolist()
            with running(image, keep=Path(scratch) / name) as app, chromium() as browser:
                page = Page(browser, app)
                opened = page.open(file)
                for box, of_object in zip(boxes, objects, strict=False):
                    app.edit(opened, "add_object", box=box, name=of_object)
                page.wait_for_labels(opened)
                page.tab.locator("#objects-list [data-object-id] button").first.click()
                page.tab.wait_for_timeout(1000)
                page.tab.screenshot(path=str(folder / f"{name}.png"))
                page.close()


def write_image(path: Path, case: "np.lib.npyio.NpzFile") -> Path:
    """As a person would have it: a PNG, or a NIfTI file in Hounsfield units."""
    if path.suffix == ".png":
        cv2.imwrite(str(path), case["imgs"][..., ::-1])
        return path
    import nibabel

    depth, height, width = case["spacing"].tolist()
    voxels = np.where(case["imgs"] == 0, -1000, case["imgs"].astype(np.int16) * 2 - 160).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels.T, np.diag([-width, -height, depth, 1])), path)
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]))
