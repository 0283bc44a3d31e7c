"""A case and its boxes in, labels and their confidence out. Begin with segment.py."""
