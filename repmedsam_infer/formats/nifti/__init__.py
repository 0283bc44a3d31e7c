"""NIfTI-1 and NIfTI-2: headers understood, images in, label maps out."""
