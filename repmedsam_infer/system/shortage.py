"""What Python and libraries raise where memory is short: each has words of its own."""

import errno

NO_MEMORY = "there is not enough memory; give the process or container more"
WORDS = ("bad_alloc", "nsufficient memory", "annot allocate memory", "failed to map segment", "start new thread")


def is_shortage(error: BaseException) -> bool:
    """Whether memory, address space or threads were refused; where address space is limited, also what libraries raise
    that has no name for it.
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if any(word in str(error) for word in WORDS):
        return True
    return isinstance(error, (ImportError, RuntimeError, SystemError)) and address_space() is not None


def address_space() -> int | None:
    """Bytes that this process may map; None where there is no limit, or no such thing (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft
