"""A command as a process: whatever ends it is one line and an exit code of errors.py, never a traceback."""

import errno
import gc
import logging
import os
from collections.abc import Callable

from repmedsam_infer.errors import EXIT_ENVIRONMENT, EXIT_USAGE, RepMedSAMError, SetupError
from repmedsam_infer.system.shortage import NO_MEMORY, address_space, is_shortage
from repmedsam_infer.system.stopping import STOPPING, Stopped, ignore, listen
from repmedsam_infer.system.streams import complain, flushed, open_standard_streams

# Bytes of address space that numpy, OpenCV, OpenVINO and the networks take with two threads, most of it never touched,
# and that each further thread takes for its stack and its arena. With less, libraries crash and hang.
LEAST_ADDRESS_SPACE = 3000 << 20
A_THREAD = 80 << 20


USUAL_COLLECTIONS = gc.get_threshold()


def hasten_imports() -> None:
    """Set up a process whose start people wait for; to be called before anything heavy is imported.

    numpy's threads for matrix products spin while they have none: 0.1 s of processor time at each start, which loading
    the networks needs, and no product here is large. Collecting garbage finds nothing among what is imported, and
    little in a run; what goes on for long sets USUAL_COLLECTIONS again.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(100_000, 20, 20)


def exit_code_of(command: Callable[[], int], *, last: bool = False) -> int:
    """Run a command that returns its exit code; returns it, or that of what ended it.

    last: whether the process ends then, and signals that come too late are ignored.
    """
    open_standard_streams()
    stop_listening = listen()
    try:
        code = command()
    except Stopped:
        code = 0  # below
    except KeyboardInterrupt:
        code = 130
    except RepMedSAMError as error:
        code = failed(str(error), error.exit_code)
    except Exception as error:
        too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
        code = failed(reason_of(error), EXIT_USAGE if too_long else EXIT_ENVIRONMENT)
    if STOPPING.number:
        code = Stopped(STOPPING.number).exit_code
    if STOPPING.number or last:
        ignore()
    else:
        stop_listening()
    return code if flushed() or code else EXIT_ENVIRONMENT


def failed(reason: str, code: int) -> int:
    """Say why, and return the code. Nothing is said after a signal: in the midst of an import it looks like a fault."""
    if not STOPPING.number:
        complain(f"error: {reason}")
    return code


def reason_of(error: Exception) -> str:
    """Return a line on what no command expects; raise it again where it is a bug of ours, whose traceback is of use."""
    if is_shortage(error):
        return f"{NO_MEMORY} ({type(error).__name__}: {error})"
    if isinstance(error, ImportError):
        return f"{error.name or 'a package'} cannot be loaded ({error}): install RepMedSAM again"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or error}"
    raise error


def check_address_space() -> None:
    """Raise SetupError where a limit (`ulimit -v`) leaves less than loading takes."""
    limit = address_space()
    if limit is None:
        return
    from repmedsam_infer.system.threads import available_threads

    needed = LEAST_ADDRESS_SPACE + A_THREAD * max(0, available_threads() - 2)
    if limit < needed:
        raise SetupError(
            f"{limit >> 20} MiB of address space are too little (ulimit -v), and {needed >> 20} MiB are needed; limit "
            "memory by a control group instead (docker run -m, systemd-run -p MemoryMax=)"
        )


def end_process(command: Callable[[], int]) -> None:
    """Run the command of a module that is started by itself, and end the process with its exit code.

    At once: what libraries take down at the end, thread by thread and block by block, takes a sixth of a small run.
    """
    hasten_imports()
    code = exit_code_of(command, last=True)
    logging.shutdown()
    os._exit(code)
