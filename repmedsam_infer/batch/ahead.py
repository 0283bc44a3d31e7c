"""The first case is read while the networks are loaded, which leaves processors idle."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from repmedsam_infer.case import Case, peak_bytes, read_case
from repmedsam_infer.system.memory import check_fits

Read = Callable[[Path], Case]


def reading_ahead(first: Path) -> Read:
    """Begin to read the case at `first` in another thread; returns what reads cases, and takes that one from there.

    What is wrong with it is raised where it is taken, as `read_case` would. Memory is checked again then: meanwhile the
    networks have taken theirs.
    """
    ahead: dict[Path, Future[Case]] = {first: Future()}

    def begin(future: Future[Case]) -> None:
        try:
            future.set_result(read_case(first))
        except BaseException as error:
            future.set_exception(error)

    def read(path: Path) -> Case:
        future = ahead.pop(path, None)
        if future is None:
            return read_case(path)
        case = future.result()
        check_fits(case.name, peak_bytes(case.imgs.shape, case.imgs.dtype, is_volume=case.is_volume))
        return case

    threading.Thread(target=begin, args=(ahead[first],), daemon=True).start()  # a stopped run does not wait for it
    return read
