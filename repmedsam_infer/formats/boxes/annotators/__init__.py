"""Boxes from files of annotation programs: 3D Slicer, COCO, LabelMe, RTSTRUCT."""
