"""What was run and found, from the records of the runs."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

Record = dict[str, Any]

_TITLE = "# Hostile input: what was fed to the readers"
_HEAD = (
    "| target | inputs | seeds | time | inputs a second | slowest | findings | memory, first to last | slope |",
    "|---|---|---|---|---|---|---|---|---|",
)


def write_report(results: Path) -> None:
    """`fuzz.md` and `fuzz.json` beside the records, `runs.jsonl`."""
    log = results / "runs.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    by_target: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_target[record["target"]].append(record)
    summaries = {target: _summary(batches) for target, batches in by_target.items()}
    (results / "fuzz.json").write_text(json.dumps(summaries, indent=1) + "\n")
    total = sum(summary["inputs"] for summary in summaries.values())
    lines = [_TITLE, "", f"{total:,} inputs in all (`python -m tests.fuzz TARGET --inputs N --seed S`).", "", *_HEAD]
    lines += [_row(target, summary) for target, summary in summaries.items()]
    (results / "fuzz.md").write_text("\n".join(lines) + "\n")


def _summary(batches: list[Record]) -> Record:
    slowest = max(batches, key=lambda batch: batch["slowest_s"])
    findings = [found for batch in batches for found in batch["findings"]]
    last_seed = [batch for batch in batches if batch["seed"] == batches[-1]["seed"]]
    memory = [batch["rss_mb"] for batch in last_seed]
    at = np.cumsum([batch["n"] for batch in last_seed]) / 100_000
    return {
        "inputs": sum(batch["n"] for batch in batches),
        "seeds": sorted({batch["seed"] for batch in batches}),
        "seconds": round(sum(batch["seconds"] for batch in batches), 1),
        "slowest_s": round(slowest["slowest_s"], 3),
        "slowest_input": [slowest["seed"], slowest["slowest"]],
        "findings": len(findings),
        "errors": sorted({str(found["error"])[:120] for found in findings}),
        "memory_mb": [round(memory[0], 1), round(memory[-1], 1)],
        "slope_mb_per_100k": round(float(np.polyfit(at, memory, 1)[0]), 2) if len(memory) > 2 else None,
    }


def _row(target: str, s: Record) -> str:
    seeds = ", ".join(map(str, s["seeds"]))
    slope = "-" if s["slope_mb_per_100k"] is None else f"{s['slope_mb_per_100k']:+.2f} MB / 100,000"
    return (
        f"| `{target}` | {s['inputs']:,} | {seeds} | {s['seconds']:,.0f} s | "
        f"{s['inputs'] / max(s['seconds'], 1e-9):,.0f} | {s['slowest_s']:.3f} s | {s['findings']} | "
        f"{s['memory_mb'][0]:.0f} to {s['memory_mb'][1]:.0f} MB | {slope} |"
    )
