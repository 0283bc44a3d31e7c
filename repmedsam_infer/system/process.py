"""A command as a process: whatever ends it is one line and an exit code of errors.py, never a traceback."""

import errno
import sys
from collections.abc import Callable

from repmedsam_infer.errors import EXIT_ENVIRONMENT, EXIT_USAGE, RepMedSAMError, SetupError, printable
from repmedsam_infer.system.shortage import NO_MEMORY, address_space, is_shortage
from repmedsam_infer.system.stopping import Stopped, listen
from repmedsam_infer.system.streams import complain, flushed, open_standard_streams
from repmedsam_infer.system.threads import available_threads

# Bytes of address space that numpy, OpenCV, OpenVINO and the networks take with two threads, most of it never touched,
# and that each further thread takes for its stack and its arena. With less, libraries crash and hang.
LEAST_ADDRESS_SPACE = 2400 << 20
A_THREAD = 80 << 20


def exit_code_of(command: Callable[[], int]) -> int:
    """Run a command that returns its exit code; returns it, or that of what ended it."""
    open_standard_streams()
    stop_listening = listen()
    try:
        code = command()
    except Stopped as stopped:
        code, stop_listening = stopped.exit_code, go_on_listening
    except KeyboardInterrupt:
        code = 130
    except RepMedSAMError as error:
        complain(f"error: {error}")
        code = error.exit_code
    except Exception as error:
        complain(f"error: {reason_of(error)}")
        code = EXIT_USAGE if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG else EXIT_ENVIRONMENT
    finally:
        stop_listening()
    return code if flushed() or code else EXIT_ENVIRONMENT


def go_on_listening() -> None:
    """Do nothing: the process ends, and a second signal is not to kill it in the midst of that."""


def reason_of(error: Exception) -> str:
    """One line of what no command expects. Raises it again where it is a bug of ours, whose traceback is of use."""
    if is_shortage(error):
        return printable(f"{NO_MEMORY} ({type(error).__name__}: {error})")
    if isinstance(error, ImportError):
        return printable(f"{error.name or 'a package'} cannot be loaded ({error}): install RepMedSAM again")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return printable(f"{where}{error.strerror or error}")
    raise error


def check_address_space() -> None:
    """Raise SetupError where a limit (`ulimit -v`) leaves less than loading takes."""
    limit = address_space()
    if limit is None:
        return
    needed = LEAST_ADDRESS_SPACE + A_THREAD * max(0, available_threads() - 2)
    if limit < needed:
        raise SetupError(
            f"{limit >> 20} MiB of address space are too little (ulimit -v), and {needed >> 20} MiB are needed; limit "
            "memory by a control group instead (docker run -m, systemd-run -p MemoryMax=)"
        )


def end_process(command: Callable[[], int]) -> None:
    """`exit_code_of` for a module that is run: it never returns, and signals are handled until the very end."""
    sys.exit(exit_code_of(command))
