"""A name as other programs' files can hold it."""


def printed(name: str, label: int) -> str:
    """Return a name in one line of printable characters; "label 3" where there is none."""
    plain = "".join(c if c.isprintable() else "_" for c in name).strip()
    return plain or f"label {label}"
