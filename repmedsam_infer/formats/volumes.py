"""Files that hold several volumes: which one is meant."""

from repmedsam_infer.errors import CaseReadError


def choose_volume(name: str, count: int, volume: int | None, described: str = "") -> int:
    """Return the place, from 0, of the volume that is meant; where there is one it need not be named.

    Args:
        name: what messages call the file.
        count: volumes that there are, 1 or more.
        volume: which one, from 0; None where the user does not say.
        described: what they are, for the message.

    Raises:
        CaseReadError: there are several and none is named, or there is none of this number.

    """
    if volume is None and count == 1:
        return 0
    if volume is not None and 0 <= volume < count:
        return volume
    if count == 1:
        raise CaseReadError(f"{name}: holds one volume, and there is no volume {volume} (they are counted from 0)")
    asked = "" if volume is None else f"there is no volume {volume}: it "
    raise CaseReadError(
        f"{name}: {asked}holds {count} volumes{f' ({described})' if described else ''}; "
        f"choose one with --volume 0..{count - 1}"
    )
