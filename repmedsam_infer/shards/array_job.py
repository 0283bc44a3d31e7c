"""The shard that a task of an array job does: what batch systems say of it in environment variables."""

from collections.abc import Mapping
from typing import NamedTuple

from repmedsam_infer.errors import UsageError
from repmedsam_infer.shards.shard import MOST_SHARDS, Shard, is_whole_number, parse_shard


class System(NamedTuple):
    """How a batch system numbers the tasks of an array: the variable with a task's own number, those with the first,
    the last and the step of all numbers and with how many there are, where it sets them, and the first number where it
    does not.
    """

    name: str
    task: str
    first: str = ""
    last: str = ""
    step: str = ""
    how_many: str = ""
    begins: int = 1


SYSTEMS = (
    System(
        "Slurm",
        "SLURM_ARRAY_TASK_ID",
        first="SLURM_ARRAY_TASK_MIN",
        last="SLURM_ARRAY_TASK_MAX",
        step="SLURM_ARRAY_TASK_STEP",
        how_many="SLURM_ARRAY_TASK_COUNT",
    ),
    System("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", how_many="AWS_BATCH_JOB_ARRAY_SIZE", begins=0),
    System("Kubernetes", "JOB_COMPLETION_INDEX", begins=0),
    System("PBS", "PBS_ARRAY_INDEX"),
    System("Torque", "PBS_ARRAYID"),
    System("Grid Engine", "SGE_TASK_ID", first="SGE_TASK_FIRST", last="SGE_TASK_LAST", step="SGE_TASK_STEPSIZE"),
)
NOT_AN_ARRAY = "undefined"  # Grid Engine's word in a job that is none


class Chosen(NamedTuple):
    """A shard, or None for every case; and the variable that it was taken from, empty where the user named it."""

    shard: Shard | None
    variable: str = ""


def choose_shard(given: str | None, environment: Mapping[str, str]) -> Chosen:
    """Return the shard that `--shard` names; where it names none, that of the array job's task, if this is one.

    Args:
        given: I/N; N, where the number of the task is in the environment; `all`; or None.
        environment: variables as of `os.environ`.

    Raises:
        UsageError: it cannot be told which shard, or that of `given` makes no sense.

    """
    wanted = None if given is None else parse_shard(given)
    if isinstance(wanted, Shard) or (given is not None and wanted is None):
        return Chosen(wanted)
    system = next((one for one in SYSTEMS if environment.get(one.task, "") not in ("", NOT_AN_ARRAY)), None)
    if system is None:
        if wanted is None:
            return Chosen(None)
        known = ", ".join(one.task for one in SYSTEMS)
        raise UsageError(f"--shard {wanted}: which of {wanted} is not known: write I/{wanted}, or set one of {known}")
    return Chosen(shard_of_task(system, wanted, environment), system.task)


def shard_of_task(system: System, wanted: int | None, environment: Mapping[str, str]) -> Shard:
    """Return the shard of this task; `wanted`: how many shards there are, if the user said so.

    Raises:
        UsageError: numbers are missing, have gaps, or are not those of so many shards.

    """
    task = whole_number(system.task, environment)
    assert task is not None
    first = whole_number(system.first, environment)
    last = whole_number(system.last, environment)
    step = whole_number(system.step, environment) or 1
    count = whole_number(system.how_many, environment)
    begins = system.begins if first is None else first
    spanned = None if last is None else (last - begins) // step + 1
    if spanned is not None and count is not None and count != spanned:
        raise UsageError(
            f"the tasks of this {system.name} array are {count} of the {spanned} from {begins} to {last}, so a task's "
            "number does not tell its shard: write --shard I/N, for example --shard "
            f"${system.task}/N, or --shard all for every case"
        )
    found = count or spanned
    if wanted is None and (found == 1 or begins > 1):
        raise UsageError(
            f"the tasks of this {system.name} array are {begins} to {last}, as when some are submitted again: say "
            f"which shard is meant, --shard ${system.task}/N with the number of all, or --shard all for every case"
        )
    if found is None and wanted is None:
        raise UsageError(
            f"{system.task} says that this is a task of an array job, and not of how many: write --shard N with their "
            "number, or --shard all for every case"
        )
    if found is not None and wanted is not None and found != wanted:
        raise UsageError(
            f"--shard {wanted}: this {system.name} array has {found} tasks, so a task's number does not tell which of "
            f"{wanted} shards it does: write --shard I/{wanted}"
        )
    total = wanted or found or 0
    index = (task - begins) // step + 1
    if not (1 <= index <= total <= MOST_SHARDS):
        raise UsageError(f"{system.task} is {task}, which is none of {total} tasks from {begins}: write --shard I/N")
    return Shard(index, total)


def whole_number(variable: str, environment: Mapping[str, str]) -> int | None:
    """Return a variable's value; None where it is not set, or the system has none of this meaning.

    Raises:
        UsageError: it is not a whole number.

    """
    text = environment.get(variable) if variable else None
    if text is None or text in ("", NOT_AN_ARRAY):
        return None
    if not is_whole_number(text):
        raise UsageError(f"{variable} is {text!r}, which is no number of a task: write --shard I/N")
    return int(text)
