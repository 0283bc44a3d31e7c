"""The command: python -m tests.fuzz --seconds 600 --seed 1 --kinds npz,nifti; or one trial again: --trial npz:17."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.faults import FAULTS
from tests.fuzz.found import Found
from tests.fuzz.kinds import KINDS, good_trials
from tests.fuzz.runner import Runner

ALL: dict[str, object] = {**KINDS, **FAULTS}
KEPT = Path(__file__).parent / "found"


def main() -> int:
    """Return 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Hostile inputs and faults.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same one tries the same things")
    parser.add_argument("--kinds", default=",".join(ALL), help=f"of {', '.join(ALL)}")
    parser.add_argument("--rounds", type=int, default=0, help="so many trials of each kind, however long they take")
    parser.add_argument("--trial", help="one trial alone, as npz:17")
    parser.add_argument("--found", type=Path, default=KEPT, help="where what is found is kept")
    given = parser.parse_args()
    kinds = given.trial.split(":")[:1] if given.trial else given.kinds.split(",")
    unknown = set(kinds) - ALL.keys()
    if unknown:
        parser.error(f"there are no kinds {', '.join(sorted(unknown))}")
    work = Path(tempfile.mkdtemp(prefix="repmedsam-fuzz-"))
    found = Found(given.found)
    chosen = {kind: KINDS[kind] for kind in kinds if kind in KINDS}
    runner = Runner(work, found, given.seed, chosen, {kind: FAULTS[kind] for kind in kinds if kind in FAULTS})
    began = time.monotonic()
    try:
        sys.stdout.write(f"seed {given.seed}\n")
        runner.learn(good_trials(work, set(kinds)))
        if given.trial:
            runner.run_number(kinds[0], int(given.trial.split(":")[1]))
        elif given.rounds:
            runner.run_rounds(given.rounds)
        else:
            runner.run_for(given.seconds)
    except KeyboardInterrupt:
        sys.stdout.write("stopped\n")
    finally:
        runner.worker.stop()
        shutil.rmtree(work, ignore_errors=True)
    return tell(runner, time.monotonic() - began)


def tell(runner: Runner, seconds: float) -> int:
    for kind, count in runner.tried.items():
        sys.stdout.write(f"{kind:10} {count:7,} inputs, {count / max(runner.spent[kind], 1e-9):6.1f} a second\n")
    total = sum(runner.tried.values())
    findings = runner.found.findings
    sys.stdout.write(f"{total:,} inputs in {seconds:.0f} s: {len(findings) or 'nothing'} found\n")
    sys.stdout.writelines(f"{line}\n" for line in runner.found.lines())
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
