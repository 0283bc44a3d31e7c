"""What was found, one of each kind kept with what it needs to be run again."""

import hashlib
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.promises import signature
from tests.fuzz.trial import Outcome, Trial


@dataclass
class Finding:
    """problem: the first one of its kind. count: how many there were."""

    problem: str
    name: str
    count: int = 1
    kept: Path | None = None


@dataclass
class Found:
    """Findings by signature; those to be looked at lie in folders of their own under `folder`."""

    folder: Path
    findings: dict[str, Finding] = field(default_factory=dict)

    def is_known(self, kind: str, problem: str) -> bool:
        return signature(kind, problem) in self.findings

    def add(self, kind: str, name: str, problem: str) -> Finding | None:
        """Return the finding if it is the first of its kind."""
        key = signature(kind, problem)
        if key in self.findings:
            self.findings[key].count += 1
            return None
        self.findings[key] = Finding(problem, name)
        return self.findings[key]

    def keep(self, new: list[Finding], trial: Trial, outcome: Outcome) -> None:
        """Move the trial's folder, sparse files and all, to where it stays."""
        place = (
            self.folder / f"{new[0].name.replace(':', '-')}-{hashlib.sha256(new[0].problem.encode()).hexdigest()[:6]}"
        )
        shutil.rmtree(place, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.move(trial.folder, place)
        shutil.rmtree(place / "out", ignore_errors=True)
        problems = "".join(f"{finding.problem}\n" for finding in new)
        arguments = shlex.join(trial.arguments)
        text = f"{problems}\ncd {shlex.quote(str(place))} && python -m repmedsam_infer {arguments}\n"
        text += f"\ncode {outcome.code}, {outcome.seconds:.1f} s, {outcome.memory >> 20} MiB\n"
        (place / "FOUND.txt").write_bytes(text.encode("utf-8", "surrogateescape") + b"\n" + outcome.err[:20_000])
        for finding in new:
            finding.kept = place

    def lines(self) -> list[str]:
        """Return a line or two each, the most frequent first."""
        out = []
        for finding in sorted(self.findings.values(), key=lambda one: -one.count):
            text = finding.problem.encode("unicode_escape").decode("ascii").replace("\\\\", "\\")
            out.append(f"{finding.count} x {finding.name}: {text[:400]}")
            if finding.kept:
                out.append(f"    {finding.kept}")
        return out
