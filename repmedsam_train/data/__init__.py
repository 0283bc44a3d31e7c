"""Training cases: read, sampled, augmented."""
