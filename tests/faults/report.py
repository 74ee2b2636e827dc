"""The rounds of campaigns as a report for people (Markdown) and for programs (JSON)."""

import json
import platform
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.campaign import read_records
from tests.faults.faults import FAULTS, Fault

STACKS = {"sqlite": "SQLite and Valkey", "postgres": "PostgreSQL and Valkey"}


def write_report(folder: Path) -> None:
    """`report.json` and `report.md` beside the records of each stack."""
    summaries = {stack: summary(read_records(folder / f"{stack}.jsonl")) for stack in STACKS}
    found = {stack: each for stack, each in summaries.items() if each["rounds"]}
    document = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "stacks": found,
    }
    (folder / "report.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / "report.md").write_text(_markdown(document))


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts over all rounds. `lost` and `doubled` are those of the broken promises that say so."""
    broken = [text for record in records for text in record["broken"]]
    jobs: Counter[str] = Counter()
    wishes: Counter[str] = Counter()
    for record in records:
        jobs.update(record["jobs"])
        wishes.update(record["wishes"])
    return {
        "rounds": len(records),
        "faults": sum(len(record["faults"]) for record in records),
        "faults_by_kind": dict(Counter(name for record in records for name, _ in record["faults"])),
        "wishes": dict(wishes),
        "jobs": dict(jobs),
        "attempts": sum(record["attempts"] for record in records),
        "resumed": sum(record.get("resumed", 0) for record in records),
        "seconds": round(sum(record["seconds"] for record in records)),
        "seeds": sorted({str(record["seed"]).split("/", maxsplit=1)[0] for record in records}),
        "commits": list(dict.fromkeys(record["commit"] for record in records)),
        "lost": sum("lost:" in text or ": 0 rows" in text or ": 0 versions" in text for text in broken),
        "doubled": sum("instead of" in text and ": 0 " not in text for text in broken),
        "broken": broken,
    }


def _markdown(document: dict[str, Any]) -> str:
    stacks = document["stacks"]
    lines = [
        "# Faults injected into running jobs",
        "",
        f"`python -m tests.faults`, {document['date']}, {document['machine']}.",
        "",
        "| | " + " | ".join(STACKS[stack] for stack in stacks) + " |",
        "|---|" + "---|" * len(stacks),
    ]
    for key, text in (
        ("faults", "faults"), ("rounds", "rounds"), ("attempts", "attempts of all jobs"),
        ("resumed", "attempts that went on from a checkpoint"), ("seconds", "seconds"),
        ("lost", "jobs lost"), ("doubled", "jobs done twice"),
    ):  # fmt: skip
        lines.append(f"| {text} | " + " | ".join(f"{each[key]:,}" for each in stacks.values()) + " |")
    lines += [
        f"| jobs {state} | " + " | ".join(str(each["jobs"].get(state, 0)) for each in stacks.values()) + " |"
        for state in sorted({state for each in stacks.values() for state in each["jobs"]})
    ]
    broken = " | ".join(str(len(each["broken"])) for each in stacks.values())
    lines += [f"| promises broken | {broken} |"]
    for key in ("seeds", "commits"):
        lines.append(f"| {key} | " + " | ".join(", ".join(each[key]) for each in stacks.values()) + " |")
    lines += ["", "## Faults", ""]
    lines += ["| fault | " + " | ".join(STACKS[stack] for stack in stacks) + " |", "|---|" + "---|" * len(stacks)]
    known = {fault.name for fault in FAULTS}
    earlier = {name for each in stacks.values() for name in each["faults_by_kind"]} - known
    for fault in (*FAULTS, *(Fault(name, lambda _: None, 0) for name in sorted(earlier))):
        kinds = "faults_by_kind" if fault.is_fault else "wishes"
        counts = " | ".join(str(each[kinds].get(fault.name, 0)) for each in stacks.values())
        lines.append(f"| {fault.name}{'' if fault.is_fault else ' (by a user, no fault)'} | {counts} |")
    for stack, each in stacks.items():
        if each["broken"]:
            lines += ["", f"## Broken on {STACKS[stack]}", "", *(f"* {text}" for text in each["broken"])]
    return "\n".join(lines) + "\n"
