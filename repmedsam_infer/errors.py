"""Every error that RepMedSAM raises on purpose, and the exit code that each kind leads to.

    RepMedSAMError
    ├── UsageError         2   an option or a folder that was asked for makes no sense
    ├── SetupError         3   weights missing or damaged, an engine not installed, results cannot be written at all
    └── CaseError          1   one case cannot be done; the others are
        ├── CaseReadError      the input file is unreadable, unsafe or not what the contract says
        │   └── CaseTooLargeError  it does not fit into the memory that is left
        └── CaseWriteError     its result could not be written

A run that a signal ends puts down what was done, and exits with 128 and the signal's number, as shells have it: 129 for
SIGHUP (a closed terminal), 130 for SIGINT (Ctrl-C), 143 for SIGTERM (`docker stop`, Slurm).

UsageError and CaseReadError are `ValueError`s, too, as Python has it for arguments that make no sense.

Messages are for the user: which file, what is wrong, what to do. What files say may be part of them, so each is one
printable line of bounded length, whatever a file says.
"""

MOST_CHARACTERS = 1_000  # of a message

EXIT_OK = 0
EXIT_CASE_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3


def printable(text: str, most: int = MOST_CHARACTERS) -> str:
    r"""Return text from strangers as one line for a terminal, of `most` characters.

    Control characters, line breaks, half surrogates and characters that turn the direction of writing become escapes
    like \x1b; what is too long loses its middle, as both ends of a message say most.
    """
    if len(text) > most:
        text = f"{text[: most * 2 // 3]} ... {text[-most // 4 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class RepMedSAMError(Exception):
    """Base of all errors below."""

    exit_code = EXIT_CASE_FAILED

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UsageError(RepMedSAMError, ValueError):
    """A command or a call was given something that it cannot work with."""

    exit_code = EXIT_USAGE


class SetupError(RepMedSAMError):
    """Weights, engine or machine are not as they have to be."""

    exit_code = EXIT_ENVIRONMENT


class CaseError(RepMedSAMError):
    """One case cannot be done."""


class CaseReadError(CaseError, ValueError):
    """An input file is unreadable, unsafe, or not what the contract says."""


class CaseTooLargeError(CaseReadError):
    """An input does not fit into the memory that is left."""


class CaseWriteError(CaseError):
    """A result could not be written."""
