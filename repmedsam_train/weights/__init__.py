"""Trained networks to weights that can be shipped, and back."""
