"""Training of RepMedSAM (torch): not needed, and not installed, where masks are only predicted."""
