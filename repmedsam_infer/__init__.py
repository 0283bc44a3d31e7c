"""RepMedSAM: box-prompted segmentation of medical images on an ordinary CPU. For research, not for diagnosis."""

__version__ = "0.1.0"
