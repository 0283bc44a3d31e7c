"""Boxes from files and options: JSON, CSV, label maps, millimetres."""
