"""Tables for people."""


def markdown(rows: list[dict[str, str]]) -> str:
    """Return a Markdown table of rows with the same keys: the first column to the left, the others to the right."""
    lines = ["| " + " | ".join(rows[0]) + " |", "| --- |" + " ---: |" * (len(rows[0]) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row.values()) + " |" for row in rows])
