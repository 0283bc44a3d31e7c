"""What holds whatever comes in: exit codes, messages, results, what is left alone, memory and time."""

import hashlib
import json
import re
import stat
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.fuzz.trial import OUTPUTS, Outcome, Trial

FREE = 3 << 30  # bytes of memory that a command finds free
MOST_SECONDS, MOST_MEMORY = 30.0, FREE + (512 << 20)  # an estimate may be a little low
LONGEST_LINE, MOST_OUTPUT = 2_000, 64 << 10  # bytes; of output for each input
HASHED = 1 << 20  # bytes of a file up to which its content is compared
USAGE = re.compile(r"^(Usage:|Try |[╭│╰]|\s*$)")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # in what typer repeats of a command line
TOLD = re.compile(r"^((error|warning|stopping): .|\d+ of \d+ (cases|inputs) failed)")
FAILURES = ("Traceback (most recent call last)", "internal error", "Segmentation fault", "terminate called")

Snapshot = dict[str, tuple[object, ...]]


def snapshot(trial: Trial) -> Snapshot:
    """Return what lies in a trial's folder, but for what may be written: kind, size, times, content."""
    found: Snapshot = {}
    for path in sorted(trial.folder.rglob("*")):
        name = path.relative_to(trial.folder).as_posix()
        if any(place in ("", ".") or f"{name}/".startswith(f"{place}/") for place in trial.writable):
            continue
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            found[name] = (status.st_mode,)
            continue
        content = ""
        if stat.S_ISREG(status.st_mode) and status.st_size <= HASHED:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[name] = (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, content)
    return found


def broken(trial: Trial, outcome: Outcome, before: Snapshot, references: dict[str, bytes]) -> Iterator[str]:
    """Yield what does not hold, a sentence each: its first words say which promise, the rest what was seen."""
    yield from of_ending(trial, outcome)
    yield from of_output(outcome.out, outcome.err, outcome.code, max(1, len(trial.hostile)))
    yield from (f"touched: {event}" for event in outcome.events)
    after = snapshot(trial)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            what = "changed" if name in before and name in after else "made or removed"
            yield f"changed: {name!r}, which is no output, was {what}"
    yield from (f"left behind: {path.name!r}" for path in trial.folder.rglob("*.part"))
    if outcome.code is None or outcome.code < 0:
        return
    for result, reference in trial.good.items():
        path = trial.folder / result
        if not path.is_file():
            yield f"good case: {result} is not there"
        elif references.get(reference, b"") not in (b"", path.read_bytes()):
            yield f"good case: {result} is not what it is among good cases"
    if trial.reported:
        yield from of_report(trial, outcome)


def of_ending(trial: Trial, outcome: Outcome) -> Iterator[str]:
    if outcome.code is None:
        yield f"time: no end after {outcome.seconds:.0f} s; {outcome.stack[-1500:]}"
    elif outcome.code < 0:
        yield f"died: by signal {-outcome.code}; {outcome.err[-300:]!r}"
    elif outcome.code not in trial.codes:
        yield f"exit code: {outcome.code}; {last_line(outcome.err)}"
    inputs = max(1, len(trial.hostile))
    if min(outcome.seconds, outcome.processor) > MOST_SECONDS * (1 + (inputs - 1) / 4):
        yield f"time: {outcome.seconds:.0f} s, {outcome.processor:.0f} s of processors, for {inputs} inputs"
    if outcome.memory > MOST_MEMORY:
        yield f"memory: {outcome.memory / 2**30:.1f} GiB"


def of_output(out: bytes, err: bytes, code: int | None, inputs: int = 1) -> Iterator[str]:
    """What a terminal gets: printable lines of bounded length, on stderr none but ours."""
    for stream, raw in (("stdout", out), ("stderr", err)):
        if len(raw) > MOST_OUTPUT * inputs:
            yield f"output: {len(raw):,} bytes on {stream}: {raw[:100]!r}"
        text = raw[: MOST_OUTPUT * inputs].decode("utf-8", "surrogateescape")
        yield from (f"failure: {where(text, failure)}" for failure in FAILURES if failure in text)
        for line in text.split("\n"):
            if len(line) > LONGEST_LINE:
                yield f"long line: {len(line):,} characters on {stream}: {line[:100]!r} ... {line[-100:]!r}"
            # Typer repeats what a person typed, letters that Python does not know among it.
            is_typed = stream == "stderr" and code == 2 and USAGE.match(line)
            odd = CONTROL.findall(line) if is_typed else [c for c in line if not c.isprintable()]
            if odd:
                yield f"unprintable: on {stream}: {odd[0]!r} in {line[:300]!r}"
    if FAILURES[0].encode() not in err:
        yield from noise(err[: MOST_OUTPUT * inputs], code)


def noise(err: bytes, code: int | None) -> Iterator[str]:
    """Yield the first line that is none of ours."""
    lines = err.decode("utf-8", "replace").split("\n")
    is_usage = code == 2 and lines[0].startswith("Usage:")
    for line in lines[:-1]:
        if not TOLD.match(line) and not (is_usage and USAGE.match(line)):
            yield f"noise: on stderr: {line[:300]!r}"
            return


def of_report(trial: Trial, outcome: Outcome) -> Iterator[str]:
    """report.json names each input once; one that failed has one line and no result, one that is well has a result."""
    path = trial.folder / OUTPUTS / "report.json"
    if outcome.code == 2:
        return
    try:
        cases: list[dict[str, Any]] = json.loads(path.read_bytes())["cases"]
    except (OSError, ValueError, KeyError) as problem:
        yield f"report: report.json: {type(problem).__name__}: {str(problem)[:200]}"
        return
    lines = outcome.err.decode("utf-8", "surrogateescape").split("\n")
    errors = Counter(str(case["error"]) for case in cases if case["status"] == "failed")
    for error, count in errors.items():
        if lines.count(f"error: {error}") != count and len(outcome.err) < MOST_OUTPUT:
            yield f"report: {lines.count(f'error: {error}')} lines on stderr, not {count}, are {error[:300]!r}"
    for case in cases:
        if case["status"] == "failed" and (trial.folder / OUTPUTS / case["case"]).is_file():
            yield f"report: a case failed and has a result: {str(case['error'])[:300]!r}"
    if outcome.code in (0, 1) and (outcome.code == 1) != bool(errors):
        yield f"exit code: {outcome.code}, and {sum(errors.values())} cases failed"
    expected = len(trial.hostile) + len(trial.good)
    if trial.hostile and len(cases) < expected:
        yield f"report: {len(cases)} cases of {expected}"


def where(text: str, failure: str) -> str:
    """Return what was raised, and in which of our files."""
    at = text.index(failure)
    if failure != FAILURES[0]:
        return text[at : at + 300].split("\n", maxsplit=1)[0]
    frames = re.findall(r'File "[^"]*(repmedsam_infer/[^"]+)", line \d+, in (\S+)', text[at:])
    raised = re.findall(r"^(\w[\w.]*(?:Error|Exception|Interrupt|Warning)\b.*)$", text[at:], re.MULTILINE)
    return f"{raised[-1][:300] if raised else '?'} in {' '.join(frames[-1]) if frames else '?'}"


def last_line(raw: bytes) -> str:
    return repr(raw[-400:].decode("utf-8", "replace").strip().split("\n")[-1])


def signature(kind: str, problem: str) -> str:
    """Return what problems of one cause have in common: the sentence without its numbers and names."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "'..'", problem)
    text = re.sub(r"\b[\w\\]*\d[\w.\\]*(\.npz|\.nii|\.dcm)?", "#", text)
    return f"{kind}: {text[:110]}"
