"""NRRD (.nrrd, .nhdr): headers understood, images in, label maps out."""
