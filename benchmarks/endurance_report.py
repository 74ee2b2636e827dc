"""A run as figures (JSON), as a page (Markdown) and as a picture (PNG)."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.endurance_capacity import HELD_WITHIN_S
from benchmarks.endurance_client import JobRecord, Record, count_troubles
from benchmarks.endurance_kills import Kill
from benchmarks.endurance_memory import Life, growth
from benchmarks.endurance_mix import PREDICTIONS

mpl.use("Agg")
import matplotlib.pyplot as plt

MINUTE_S = 60.0
SHOWN_LOSSES = 200
SHOWN_S = 30
"""Of the memory samples, one in so many seconds is kept in the JSON file."""


def figures(
    records: Sequence[Record], jobs: Sequence[JobRecord], kills: Sequence[Kill], lives: Sequence[Life],
    begun: float, seconds: float, warm_up_s: float,
) -> dict[str, Any]:  # fmt: skip
    """All that is measured of the open loop, which began at `begun`."""
    loop = [r for r in records if r.due >= begun and r.kind != "events"]
    small = [r for r in loop if r.kind in PREDICTIONS and r.status == 200]
    end = min(seconds, max((r.due for r in loop), default=begun) - begun)
    starts = np.arange(0, max(end, 1), MINUTE_S)
    return {
        "requests": len(loop),
        "requests_per_s": round(len(loop) / seconds, 1),
        "answers": dict(sorted(Counter(str(r.status) for r in loop).items())),
        "kinds": {kind: _latencies([r for r in loop if r.kind == kind]) for kind in sorted({r.kind for r in loop})},
        "small": _latencies(small),
        "begun_late_ms": _percentiles([1000 * (r.begun - r.due) for r in loop if r.kind in PREDICTIONS]),
        "attempts_again": count_troubles(list(records)),
        "connections_lost": [
            {"at_s": round(t.at - begun, 2), "kind": r.kind, "what": t.what, "due_s": round(r.due - begun, 2)}
            for r in loop for t in r.troubles if not t.what[0].isdigit()
        ][:SHOWN_LOSSES],
        "not_answered": sum(r.status == 0 for r in loop),
        "refused_for_good": sum(r.status in (429, 503) for r in loop),
        "by_minute": [
            {"minute": int(start // MINUTE_S), **_latencies(_within(small, begun + start)),
             "refusals": _n_troubles(loop, begun + start, is_answer=True),
             "connections_lost": _n_troubles(loop, begun + start, is_answer=False)}
            for start in starts
        ],
        "jobs": _jobs(jobs, begun),
        "kills": [{"at_s": round(kill.at - begun, 1), "kind": kill.kind, "what": kill.what} for kill in kills],
        "growth": [asdict(each) | {"grows": each.grows} for each in growth(lives, warm_up_s)],
        "memory": [_shown(life, begun) for life in lives],
    }  # fmt: skip


def _shown(life: Life, begun: float) -> dict[str, Any]:
    """The first sample in each stretch of the run."""
    first = {int((at - begun) // SHOWN_S): i for i, at in reversed(list(enumerate(life.at)))}
    return {
        "kind": life.kind, "pid": life.pid, "at_s": [number * SHOWN_S for number in sorted(first)],
        "pss_mb": [round(life.pss_mb[first[number]], 1) for number in sorted(first)],
    }  # fmt: skip


def _within(records: Sequence[Record], start: float) -> list[Record]:
    return [r for r in records if start <= r.due < start + MINUTE_S]


def _n_troubles(records: Sequence[Record], start: float, *, is_answer: bool) -> int:
    found = (t for r in records for t in r.troubles if start <= t.at < start + MINUTE_S)
    return sum(trouble.what[0].isdigit() == is_answer for trouble in found)


def _latencies(records: Sequence[Record]) -> dict[str, float]:
    """From when a request was due to its last answer, retries included, ms."""
    return {"n": len(records), **_percentiles([1000 * (r.ended - r.due) for r in records])}


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1), "p99": round(float(p99), 1),
            "max": round(max(values), 1)}  # fmt: skip


def _jobs(jobs: Sequence[JobRecord], begun: float) -> dict[str, Any]:
    accepted = [job for job in jobs if job.job_id]
    return {
        "asked": len(jobs),
        "asked_in_open_loop": sum(job.due >= begun for job in jobs),
        "sent_twice": sum(job.ask.is_sent_twice for job in jobs),
        "accepted": len(accepted),
        "by_method": dict(Counter(job.ask.method for job in accepted)),
        "ended": dict(Counter(job.status for job in accepted)),
        "events": sum(job.n_events for job in accepted),
        "seconds_to_end": _percentiles([job.finished - job.due for job in accepted if job.finished]),
    }


def write(folder: Path, name: str, result: dict[str, Any]) -> None:
    """`NAME.json`, `NAME.md` and `NAME.png` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown(result, f"{name}.png"))
    plot(result, folder / f"{name}.png")


def markdown(result: dict[str, Any], picture: str) -> str:
    """The page; what was broken stands first."""
    measured, capacity = result["measured"], result["capacity"]
    broken = result["broken"]
    lines = [
        f"# {result['minutes']:g} minutes at {100 * result['share']:.0f} % of capacity",
        "",
        f"`{result['command']}`, {result['date']}, commit {result['commit']}, seed {result['seed']}.",
        f"{result['machine']['processor']}, {result['machine']['cores']} cores, {result['machine']['memory_gb']} GB,",
        f"{result['machine']['system']}, load before {result['machine']['load_before']}; {result['structures']}.",
        f"{result['database']}, Valkey, {result['api_workers']} API processes, one Celery worker; the load generator",
        "shares the cores.",
        "",
        "**" + ("No promise was broken." if not broken else f"{len(broken)} promises were broken:") + "**",
        *(f"* {text}" for text in broken),
        "",
        f"Closed loop of {capacity['connections']} connections for {capacity['seconds']:g} s beside jobs and "
        f"{capacity['kills']} kills: {capacity['closed_per_s']} requests/s of the mix",
        f"and {capacity['jobs_per_minute']} jobs/min. Capacity, the highest rate in open loop beside jobs at "
        f"which 95 % were answered within {HELD_WITHIN_S:g} s",
        f"(second half of {capacity['step_s']:g} s): {capacity['requests_per_s']} requests/s (tried: "
        + ", ".join(f"{step['per_s']:g}/s {step['p95_s']:.2g} s" for step in capacity["steps"])
        + "). Then",
        f"{measured['requests']:,} requests in open loop ({measured['requests_per_s']} a second), "
        f"{measured['jobs']['accepted']} jobs, {len(measured['kills'])} kills.",
        "",
        f"![Latency, refusals and memory over time]({picture})",
        "",
    ]
    for part in (_answer_lines, _job_lines, _minute_lines, _memory_lines, _log_lines):
        lines += [*part(result), ""]
    return "\n".join(lines).rstrip() + "\n"


def _answer_lines(result: dict[str, Any]) -> list[str]:
    measured = result["measured"]
    lines = [
        "## Answers", "",
        "Latency in ms counts from when a request was due, with all its attempts (`xtalforge_client`'s own).", "",
        "| request | n | p50 | p95 | p99 | longest |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for kind, found in {"CIF, upload, composition": measured["small"], **measured["kinds"]}.items():
        if found["n"]:
            lines.append(
                f"| {kind} | {found['n']:,} | {found['p50']} | {found['p95']} | {found['p99']} | {found['max']} |"
            )
    again = ", ".join(f"{n} x {what}" for what, n in measured["attempts_again"].items()) or "none"
    late = measured["begun_late_ms"]
    return [
        *lines, "",
        "Last answers by status: " + ", ".join(f"{n:,} x {s}" for s, n in measured["answers"].items())
        + " (0: none came; 4xx are those of bad requests).",
        f"Single attempts that were refused or broke: {again}. After all attempts {measured['refused_for_good']} calls "
        f"stayed refused (429 or 503 with Retry-After) and {measured['not_answered']} without an answer.",
        f"The generator began requests {late.get('p50', 0)} ms (99 %: {late.get('p99', 0)}) after they were due, and "
        f"used {measured['generator_cores']:.2f} of the cores.",
    ]  # fmt: skip


def _job_lines(result: dict[str, Any]) -> list[str]:
    jobs = result["measured"]["jobs"]
    ended = ", ".join(f"{n} {status}" for status, n in jobs["ended"].items())
    methods = ", ".join(f"{n} {method}" for method, n in jobs["by_method"].items())
    took = jobs["seconds_to_end"]
    return [
        "## Jobs", "",
        f"{jobs['accepted']} accepted of {jobs['asked']} asked for ({methods}), {jobs['sent_twice']} sent twice at",
        f"once; {ended}. {jobs['events']:,} events were followed live, none missing and none twice unless said above.",
        f"From the request to the end, queue included: median {took.get('p50', 0)} s, longest {took.get('max', 0)} s.",
    ]  # fmt: skip


def _minute_lines(result: dict[str, Any]) -> list[str]:
    measured = result["measured"]
    lines = [
        "## By minute", "", "| minute | small requests | p50 ms | p99 ms | refused | connections lost | done to it |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in measured["by_minute"]:
        start = row["minute"] * MINUTE_S
        kills = [kill["kind"] for kill in measured["kills"] if start <= kill["at_s"] < start + MINUTE_S]
        lines.append(f"| {row['minute']} | {row['n']:,} | {row.get('p50', '')} | {row.get('p99', '')} | "
                     f"{row['refusals']} | {row['connections_lost']} | {', '.join(kills)} |")  # fmt: skip
    return [*lines, "", *(f"* {kill['at_s']:.0f} s: {kill['what']}" for kill in measured["kills"])]


def _memory_lines(result: dict[str, Any]) -> list[str]:
    lines = [
        "## Memory", "",
        f"Proportional set size, every 5 s. Slopes with 95 % intervals (jackknife over minutes), without the first "
        f"{result['warm_up_s']:g} s of each process.", "",
        "| kind | processes | median MB | largest MB | MB an hour | |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in result["measured"]["growth"]:
        slope = "" if row["slope"] is None else f"{row['slope']:+.1f} ± {row['half_width']:.1f} (of {row['n_used']})"
        verdict = {None: "too short-lived", True: "grows", False: "no growth seen"}[row["grows"]]
        lines.append(f"| {row['kind']} | {row['n_processes']} | {row['level_mb']:.0f} | {row['largest_mb']:.0f} | "
                     f"{slope} | {verdict} |")  # fmt: skip
    return lines


def _log_lines(result: dict[str, Any]) -> list[str]:
    errors = [f"* {n} x {text}" for text, n in result["logged_errors"].items()] or ["* none"]
    plain = [f"* {n} x `{text}`" for text, n in result["plain_lines"].items()]
    return [
        "## Errors in the service's log",
        "",
        *errors,
        *(["", "Lines that are no JSON:", "", *plain] if plain else []),
    ]


_COLOURS = {"API process": "tab:red", "compute process": "tab:orange", "worker": "tab:purple", "broker": "tab:brown"}


def plot(result: dict[str, Any], path: Path) -> None:
    """Latency, refusals and memory over the same minutes, with the kills as lines."""
    measured = result["measured"]
    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(9, 9), sharex=True, layout="constrained")
    rows = [row for row in measured["by_minute"] if row["n"]]
    minutes = [row["minute"] + 0.5 for row in rows]
    for name in ("p50", "p95", "p99"):
        top.plot(minutes, [row[name] for row in rows], marker=".", label=name)
    top.set(yscale="log", ylabel="ms from when it was due", title="CIF, upload, composition")
    top.legend(loc="upper right")
    middle.bar(minutes, [row["refusals"] for row in rows], width=0.8, label="429, 503 with Retry-After")
    middle.bar(minutes, [row["connections_lost"] for row in rows], width=0.4, label="connections lost")
    middle.set(ylabel="attempts a minute")
    middle.legend(loc="upper right")
    _plot_memory(bottom, measured["memory"])
    bottom.set(yscale="log", ylabel="MB (proportional)", xlabel="minutes")
    for axes in (top, middle, bottom):
        for kill in measured["kills"]:
            axes.axvline(kill["at_s"] / 60, color=_COLOURS.get(kill["kind"], "grey"), lw=0.8, alpha=0.6)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _plot_memory(axes: Any, memory: Sequence[dict[str, Any]]) -> None:
    """What all processes of a kind take together."""
    kinds = sorted({life["kind"] for life in memory} - {"helper", "starting"})
    colours = [plt.get_cmap("tab20")(place) for place in range(20)]
    for kind, colour in zip(kinds, colours, strict=False):
        total: Counter[int] = Counter()
        for life in memory:
            if life["kind"] == kind:
                total.update({round(at / SHOWN_S): mb for at, mb in zip(life["at_s"], life["pss_mb"], strict=True)})
        at = sorted(total)
        axes.plot([number * SHOWN_S / 60 for number in at], [total[n] for n in at], color=colour, lw=1.2, label=kind)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
