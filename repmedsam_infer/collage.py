"""One picture of many overlays, for the README: `python -m repmedsam_infer.collage FOLDER OUT.png`."""

import sys
from pathlib import Path

import cv2
import numpy as np

from repmedsam_infer.atomic import write_atomic

COLUMNS, TILE = 4, 320  # pictures a row; pixels of a picture's side


def collage(folder: Path) -> bytes:
    """All PNG files of `folder`, in order of name, each fitted into a square with its name's modality above; PNG."""
    tiles = []
    for path in sorted(folder.glob("*.png")):
        picture = cv2.imread(str(path))
        if picture is None:
            continue
        scale = TILE / max(picture.shape[:2])
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        tile = np.full((TILE + 32, TILE + 8, 3), 255, np.uint8)
        top, left = 28 + (TILE - size[1]) // 2, 4 + (TILE - size[0]) // 2
        tile[top : top + size[1], left : left + size[0]] = picture
        title = path.stem.split("_")[1] if "_" in path.stem else path.stem
        cv2.putText(tile, title, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (40, 40, 40), 1, cv2.LINE_AA)
        tiles.append(tile)
    if not tiles:
        raise SystemExit(f"no pictures in {folder}")
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return cv2.imencode(".png", np.vstack(rows))[1].tobytes()


if __name__ == "__main__":
    write_atomic(Path(sys.argv[2]), collage(Path(sys.argv[1])))
