"""Masks drawn on images."""
