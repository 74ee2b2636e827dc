"""What was run and found, from the records of the runs."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.campaign import PHASES

Record = dict[str, Any]

_TITLE = "# Hostile input: what was fed to the readers"
_HEAD = (
    "| target | inputs | seeds | time | a second | slowest | findings | memory in the longest run | slope, 2nd half |",
    "|---|---|---|---|---|---|---|---|---|",
)

_GUIDED_HEAD = (
    "| target | inputs | edges reached, first to last | slowest | findings | most memory |",
    "|---|---|---|---|---|---|",
)
_HTTP_HEAD = (
    "| phases | keys | seed | calls | requests | time | failures | errors in the log | memory of all processes |",
    "|---|---|---|---|---|---|---|---|---|",
)


def write_report(results: Path) -> None:
    """`fuzz.md` and `fuzz.json` beside the records, `runs.jsonl`, `guided.jsonl` and `http.jsonl`."""
    by_target: dict[str, list[Record]] = defaultdict(list)
    for record in _records(results / "runs.jsonl"):
        by_target[record["target"]].append(record)
    summaries = {target: _summary(batches) for target, batches in by_target.items()}
    guided, http = _records(results / "guided.jsonl"), [_http(run) for run in _records(results / "http.jsonl")]
    total = sum(s["inputs"] for s in summaries.values()) + sum(g["inputs"] for g in guided)
    total += sum(h["requests"] for h in http)
    document = {"inputs": total, "readers": summaries, "guided": guided, "http": http}
    (results / "fuzz.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [_TITLE, "", f"{total:,} inputs in all: `python -m tests.fuzz TARGET --inputs N --seed S`.", "", *_HEAD]
    lines += [_row(target, summary) for target, summary in summaries.items()]
    lines += ["", "Bred by the code they reach (`python -m tests.fuzz.guided TARGET`):", "", *_GUIDED_HEAD]
    lines += [_guided_row(record) for record in guided]
    lines += ["", "A running service by its own OpenAPI document (`python -m tests.fuzz http`):", "", *_HTTP_HEAD]
    lines += [_http_row(record) for record in http]
    (results / "fuzz.md").write_text("\n".join(lines) + "\n")


def _records(log: Path) -> list[Record]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def _http(run: Record) -> Record:
    return {
        "seed": run["seed"],
        "with_key": run["key"],
        "phases": run.get("asked", PHASES),
        "operations": run["operations"]["tested"],
        "requests": run["test_cases"]["generated"],
        "seconds": round(run["running_time"], 1),
        "failures": [f"{f['title']}: {', '.join(f['operations'])}" for f in run["failures"]],
        "logged_errors": len(run["logged_errors"]),
        "memory_mb": [round(mb) for mb in run["memory_mb"]],
    }


def _http_row(h: Record) -> str:
    keys = "with a key" if h["with_key"] else "none asked for"
    return (
        f"| {h['phases'].replace(',', ', ')} | {keys} | {h['seed']} | {h['operations']} | "
        f"{h['requests']:,} | {h['seconds']:,.0f} s | {'; '.join(h['failures']) or 'none'} | {h['logged_errors']} | "
        f"{h['memory_mb'][0]} to {h['memory_mb'][1]} MB |"
    )


def _guided_row(g: Record) -> str:
    reached = " to ".join(map(str, g["coverage"]))
    found = "yes" if g["finding"] else "none"
    return f"| `{g['target']}` | {g['inputs']:,} | {reached} | {g['slowest_s']} s | {found} | {g['peak_rss_mb']} MB |"


def _summary(batches: list[Record]) -> Record:
    slowest = max(batches, key=lambda batch: batch["slowest_s"])
    findings = [found for batch in batches for found in batch["findings"]]
    seeds = [batch["seed"] for batch in batches]
    longest = [batch for batch in batches if batch["seed"] == max(reversed(seeds), key=seeds.count)]
    memory = [batch["rss_mb"] for batch in longest]
    half = len(memory) // 2  # caches fill up first
    at = np.cumsum([batch["n"] for batch in longest])[half:] / 100_000
    return {
        "inputs": sum(batch["n"] for batch in batches),
        "seeds": sorted(set(seeds)),
        "seconds": round(sum(batch["seconds"] for batch in batches), 1),
        "slowest_s": round(slowest["slowest_s"], 3),
        "slowest_input": [slowest["seed"], slowest["slowest"]],
        "findings": len(findings),
        "errors": sorted({str(found["error"])[:120] for found in findings}),
        "memory_mb": [round(memory[0], 1), round(memory[-1], 1)],
        "slope_mb_per_100k": round(float(np.polyfit(at, memory[half:], 1)[0]), 2) if len(at) > 2 else None,
    }


def _row(target: str, s: Record) -> str:
    seeds = ", ".join(map(str, s["seeds"]))
    slope = "-" if s["slope_mb_per_100k"] is None else f"{s['slope_mb_per_100k']:+.2f} MB / 100,000"
    return (
        f"| `{target}` | {s['inputs']:,} | {seeds} | {s['seconds']:,.0f} s | "
        f"{s['inputs'] / max(s['seconds'], 1e-9):,.0f} | {s['slowest_s']:.3f} s | {s['findings']} | "
        f"{s['memory_mb'][0]:.0f} to {s['memory_mb'][1]:.0f} MB | {slope} |"
    )
