"""Every error that RepMedSAM raises on purpose, and the exit code that each kind leads to.

    RepMedSAMError
    ├── UsageError         2   an option or a folder that was asked for makes no sense
    ├── SetupError         3   weights missing or damaged, an engine not installed, results cannot be written at all
    └── CaseError          1   one case cannot be done; the others are
        ├── CaseReadError      the input file is unreadable, unsafe or not what the contract says
        └── CaseWriteError     its result could not be written

UsageError and CaseReadError are `ValueError`s, too, as Python has it for arguments that make no sense.

Messages are for the user: which file, what is wrong, what to do.
"""

EXIT_OK = 0
EXIT_CASE_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3


class RepMedSAMError(Exception):
    """Base of all errors below."""

    exit_code = EXIT_CASE_FAILED


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


class CaseWriteError(CaseError):
    """A result could not be written."""
