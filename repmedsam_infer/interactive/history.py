"""Undo and redo: the drawings before and after the one that is shown."""

from repmedsam_infer.interactive.drawing import Drawing

MOST_STEPS = 500


class History:
    """Drawings in order, and which of them is shown."""

    def __init__(self, drawing: Drawing) -> None:
        self.drawings = [drawing]
        self.at = 0

    @property
    def drawing(self) -> Drawing:
        return self.drawings[self.at]

    @property
    def can_undo(self) -> bool:
        return self.at > 0

    @property
    def can_redo(self) -> bool:
        return self.at + 1 < len(self.drawings)

    def add(self, drawing: Drawing) -> None:
        """Show another drawing; those that were undone are gone, and the oldest where there are too many."""
        self.drawings = [*self.drawings[: self.at + 1], drawing][-MOST_STEPS - 1 :]
        self.at = len(self.drawings) - 1

    def undo(self) -> None:
        """Show the drawing before, if there is one; ids that it used stay used."""
        if self.can_undo:
            self.at -= 1

    def redo(self) -> None:
        """Show the drawing that was undone last, if there is one."""
        if self.can_redo:
            self.at += 1

    def next_id(self) -> int:
        """Return the first id that no drawing used."""
        return max(drawing.next_id for drawing in self.drawings)
