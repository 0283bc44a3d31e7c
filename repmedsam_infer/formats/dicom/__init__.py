"""DICOM: series and pictures in, segmentations in and out."""
