"""Tables of a result folder."""

import json
from pathlib import Path

from benchmarks.harness import Row
from benchmarks.report import grouped, write_report

ABOUT = {
    "date": "2026-01-01 00:00 UTC",
    "command": "python -m benchmarks.peers.run",
    "machine": {"processor": "any", "cores": 2, "memory_gb": 8.0, "system": "Linux", "load_before": 0.1},
    "python": "3.11",
    "numpy": "2.4",
    "packages": {"ours": "xtalforge 0.1.0", "theirs": "peer 1.0"},
    "inputs": {
        "source": "built", "seed": 0, "structures": 10, "sites_mean": 8.0, "sites_median": 8.0, "sites_p95": 9.0,
        "sites_max": 9,
    },
}  # fmt: skip


def _written(folder: Path, part: str, rows: list[Row]) -> str:
    (folder / f"{part}.json").write_text(json.dumps(ABOUT | {"rows": [row.to_json() for row in rows]}))
    return write_report(folder)


def test_a_case_shows_medians_rates_and_ratios(tmp_path: Path) -> None:
    ours = Row("inference", "10 CIFs", "ours", n_structures=10, rounds=[0.5, 0.6, 0.4], cpu_rounds=[0.5] * 3)
    theirs = Row("inference", "10 CIFs", "theirs", n_structures=10, rounds=[5.0, 3.0, 8.0], cpu_rounds=[5.0] * 3,
                 baseline=True)  # fmt: skip
    text = _written(tmp_path, "inference", [ours, theirs])
    assert "| 10 CIFs | ours | 1 x 1 | 0.5 s | 0.4 s to 0.6 s | 0.5 | 20 | 10 | 5 to 20 |" in text
    assert "| 10 CIFs | theirs | 1 x 1 | 5 s | 3 s to 8 s | 5 | 2 | 1 | |" in text
    assert "python -m benchmarks.peers.run" in text and "peer 1.0" in text
    assert (tmp_path / "speed.md").read_text() == text


def test_a_missing_peer_has_a_row_with_the_reason_and_the_others_no_ratio(tmp_path: Path) -> None:
    ours = Row("ingestion", "case", "ours", n_structures=4, rounds=[0.002], cpu_rounds=[0.002])
    theirs = Row("ingestion", "case", "theirs", baseline=True, why_missing="not installed (no wheel)")
    text = _written(tmp_path, "ingestion", [ours, theirs])
    assert "| case | theirs | 1 x 1 | not installed (no wheel) | | | | | |" in text
    assert "| case | ours | 1 x 1 | 2 ms | 2 ms to 2 ms | 0.002 | 2000 | | |" in text


def test_every_table_line_has_the_columns_of_its_head(tmp_path: Path) -> None:
    rows = [
        Row("memory", "case", "ours", unit="MB", rounds=[300.0], cpu_rounds=[1.0]),
        Row("memory", "case", "theirs", unit="MB", rounds=[600.0], cpu_rounds=[1.0], baseline=True),
        Row("memory", "case", "other", why_missing="not installed"),
        Row("memory", "one, median", "ours", rounds=[0.1], cpu_rounds=[1.0], extra={"p95_s": 0.2}),
    ]
    lines = [line for line in _written(tmp_path, "memory", rows).splitlines() if line.startswith("|")]
    assert len(lines) == 6 and {line.count("|") for line in lines} == {lines[0].count("|")}


def test_thread_counts_are_compared_with_their_own_baseline() -> None:
    rows = [Row("p", "c", name, threads=t, baseline=name == "b") for t in (1, 2) for name in ("a", "b")]
    assert [[row.threads for row in group] for group in grouped(rows)] == [[1, 1], [2, 2]]
    rows = [Row("p", "c", "a", threads=1), Row("p", "c", "b", threads=2, baseline=True)]
    assert len(grouped(rows)) == 1


def test_a_series_is_compared_point_by_point() -> None:
    rows = [Row("p", "c", name, x=x, baseline=name == "b") for x in (1.0, 2.0) for name in ("a", "b")]
    assert [[row.x for row in group] for group in grouped(rows)] == [[1.0, 1.0], [2.0, 2.0]]


def test_the_service_has_its_own_table(tmp_path: Path) -> None:
    result = {
        "date": "2026-01-01", "machine": "x86_64, 2 cores", "python": "3.11", "command": "http_load.py",
        "rows": [{"name": "one CIF", "connections": 1, "p50": 2.5, "statuses": {"200": 10}}],
        "one_process": {"ready_s": 2.0, "memory": [{"rss_mb": 400, "command": "api"}]},
    }  # fmt: skip
    (tmp_path / "http.json").write_text(json.dumps(result))
    text = write_report(tmp_path)
    assert "| one CIF | 1 | 2.5 | 200: 10 |" in text and "ready after 2.0 s" in text and "rss_mb: 400" in text
