"""Lines outlive an interrupted run and are not measured again; the report is made of all."""

from pathlib import Path

from benchmarks.result_lines import ResultLines


def test_lines_of_a_former_run_are_kept(tmp_path: Path) -> None:
    def report(lines: object) -> str:
        return str(lines)

    first = ResultLines(tmp_path / "new", report)
    assert first.done("target", "seed") == set()
    first.add({"target": "k_vrh", "seed": 0, "mae": 0.1}, "0.1")
    again = ResultLines(tmp_path / "new", report)
    assert again.done("target", "seed") == {("k_vrh", 0)}
    again.add({"target": "k_vrh", "seed": 1, "mae": 0.2}, "0.2")
    again.write_report()
    text = (tmp_path / "new/report.md").read_text()
    assert "0.1" in text and "0.2" in text
