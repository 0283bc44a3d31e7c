"""One image that a person works on: boxes and strokes, undo, masks at once."""
