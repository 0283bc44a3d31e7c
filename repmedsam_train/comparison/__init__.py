"""What RepMedSAM is compared with, and how."""
