"""Files as people have them: read into a `Scan`, label maps written back into the same place in space."""
