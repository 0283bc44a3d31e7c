"""The table, for people and for programs: table4.md, table4.csv, table4.json."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repmedsam_infer.evaluation.markdown import markdown
from repmedsam_infer.io.atomic import write_atomic
from repmedsam_train.table4.plan import DISTILLED, FOCUS, SCRATCH
from repmedsam_train.table4.scoring import Scores
from repmedsam_train.table4.timing import Times

# What the paper states of its encoder, re-parameterized. Its DSC and NSD are not beside ours: they are of other data.
PAPER_ENCODER = dict.fromkeys((SCRATCH.key, DISTILLED.key), "23.04 M")


@dataclass(frozen=True)
class Result:
    """One row; a baseline, which is drawn from boxes alone, has nothing but scores.

    side: of the image that is encoded, in pixels.
    encoder, parameters: how many there are in inference form, in the encoder and in all.
    steps: of training, by stage.
    scores: None where no weights were at hand.
    """

    key: str
    title: str
    side: int | None = None
    encoder: int | None = None
    parameters: int | None = None
    steps: tuple[int, ...] = ()
    times: Times | None = None
    scores: Scores | None = None


@dataclass(frozen=True)
class Table:
    """The rows, what they were made with (as of `plan.described`), of how many cases, timed on which machine."""

    results: Sequence[Result]
    made_with: dict[str, Any]
    cases: int
    machine: str


def as_markdown(table: Table) -> str:
    """Return two tables: one of the rows, one of DSC / NSD by modality."""
    rows = [
        {
            "": one.title,
            "image": "" if one.side is None else str(one.side),
            "encoder": millions(one.encoder),
            "in the paper": PAPER_ENCODER.get(one.key, ""),
            "all": millions(one.parameters),
            "steps": " + ".join(map(str, one.steps)),
            "DSC": "" if one.scores is None else f"{one.scores.mean.dsc:.4f}",
            "NSD": "" if one.scores is None else f"{one.scores.mean.nsd:.4f}",
            "encoding, ms": "" if one.times is None else f"{one.times.encode:.0f}",
            "a box, ms": "" if one.times is None else f"{one.times.decode:.1f}",
        }
        for one in table.results
    ]
    scored = [one for one in table.results if one.scores is not None]
    by_modality = [
        {"DSC / NSD": name, **{one.key: cell(one.scores, name) for one in scored}}
        for name in sorted({name for one in scored if one.scores is not None for name in one.scores.modalities})
    ]
    notes = (
        f"Means over modalities of {table.cases} held-out cases. Times are medians in torch, fp32, on {table.machine}; "
        f"{FOCUS.key} as it is shipped runs in OpenVINO."
    )
    return "\n\n".join([markdown(rows), notes, *([markdown(by_modality)] if by_modality else [])]) + "\n"


def millions(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.2f} M"


def cell(scores: Scores | None, modality: str) -> str:
    if scores is None or modality not in scores.modalities:
        return ""
    score = scores.modalities[modality]
    return f"{score.dsc:.4f} / {score.nsd:.4f}"


def as_csv(table: Table) -> str:
    """Return a row a network, with columns of every modality."""
    rows: list[dict[str, object]] = []
    for one in table.results:
        row: dict[str, object] = {
            "network": one.key,
            "image_side": one.side,
            "encoder_parameters": one.encoder,
            "parameters": one.parameters,
            "steps": sum(one.steps) if one.steps else None,
            "encode_ms": one.times and round(one.times.encode, 2),
            "decode_ms": one.times and round(one.times.decode, 2),
        }
        if one.scores is not None:
            for name, score in {"mean": one.scores.mean, **one.scores.modalities}.items():
                row |= {f"{name} DSC": round(score.dsc, 6), f"{name} NSD": round(score.nsd, 6)}
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write(out: Path, table: Table) -> None:
    """Write all three. Raise OSError where they cannot be written."""
    write_atomic(out / "table4.md", as_markdown(table).encode())
    write_atomic(out / "table4.csv", as_csv(table).encode())
    content = {
        **table.made_with,
        "machine": table.machine,
        "cases": table.cases,
        "networks": [asdict(one) for one in table.results],
    }
    write_atomic(out / "table4.json", (json.dumps(content, indent=2) + "\n").encode())
