"""What a finished job tells: as JSON that OpenAPI describes, and as a page that needs nothing but itself."""

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import pytest

from app.core.db import open_session
from app.fine_tuning.report_charts import MAX_BARS, bar_chart, learning_curve, nice_ticks
from app.fine_tuning.report_page import duration, p_value
from app.fine_tuning.report_schemas import FineTuningReport, TournamentReport
from app.fine_tuning.spec import FineTuningSpec
from app.jobs.service import JobService
from app.registry.manifest import Architecture, Manifest
from app.registry.service import RegistryService
from tests.fine_tuning.conftest import Service
from tests.fine_tuning.reports import entrant, tournament
from tests.registry.examples import make_manifest

JOBS = "/v1/fine-tuning/jobs"


def finished(
    service: Service, search: dict[str, Any] | None, promote: bool = True, name: str = "mine", **submitted: Any
) -> str:
    """A job that ended with a model whose manifest holds this search."""
    body = {"dataset_id": service.add_dataset(), "model_name": name, "method": "scratch" if search is None else "auto"}
    job_id: str = service.submit(**{**body, **submitted})["id"]
    weights = uuid4().bytes
    manifest = make_manifest(name, weights, property_key="k_vrh")
    if search is not None:
        manifest = manifest.model_copy(update={"architecture": Architecture.ENSEMBLE})
    training = manifest.training.model_copy(update={"search": search, "wall_s": 250.0})
    manifest = Manifest.model_validate(manifest.model_copy(update={"training": training}).model_dump())
    with open_session(service.sessions) as session:
        jobs = JobService(session, service.settings.jobs)
        token = jobs.claim(job_id, "w")
        assert token is not None
        version = RegistryService(session, service.store).register_version(
            manifest, weights, "card", "fine_tuning", job_id=job_id, promote=promote
        )
        metrics = manifest.metrics.model_dump(mode="json")
        jobs.succeed(job_id, token, {"model": name, "version": version.version, "metrics": metrics}, "It is ready.")
    return job_id


def test_a_tournament_as_json(service: Service) -> None:
    search = tournament()
    job_id = finished(service, search)
    response = service.client.get(f"{JOBS}/{job_id}/report")
    assert response.status_code == 200 and response.headers["content-type"] == "application/json"
    assert response.headers["vary"] == "Accept"
    report = response.json()
    assert FineTuningReport.model_validate(report).model_dump(mode="json") == report
    assert (report["method"], report["model"]["name"], report["model"]["version"]) == ("auto", "mine", 1)
    assert report["model"]["aliases"] == ["champion"] and report["outcome"] == "It is ready."
    assert (report["split"]["n_train"], report["split"]["n_val"], report["split"]["n_test"]) == (40, 10, 10)
    assert report["metrics"]["test"]["mae"] == 0.25 and report["property"]["unit"] == "GPa"
    found = report["tournament"]
    same = ("entrants", "left_out", "against_baseline", "reason", "learning_curve", "sources", "n_folds", "seconds")
    assert {key: found[key] for key in same} == {key: search[key] for key in same}
    assert found["winner"]["members"] == [
        {"name": "source fine-tuned", "weight": 0.75}, {"name": "SVR, bonding descriptors", "weight": 0.25}
    ]  # fmt: skip


def test_the_document_of_the_api_describes_it(service: Service) -> None:
    document = service.client.get("/openapi.json").json()
    answers = document["paths"][f"{JOBS}/{{job_id}}/report"]["get"]["responses"]
    assert set(answers["200"]["content"]) == {"application/json", "text/html"} and {"404", "409"} <= set(answers)
    schemas = document["components"]["schemas"]
    for name in ("FineTuningReport", "TournamentReport", "TournamentEntrant", "TournamentComparison"):
        told = schemas[name]["properties"]
        for field in ("mae", "p_against_winner", "gain", "tournament", "entrants", "reason", "weight", "seconds"):
            assert field not in told or told[field]["description"]


def test_other_methods_have_a_report_too(service: Service) -> None:
    report = service.client.get(f"{JOBS}/{finished(service, None)}/report").json()
    assert (report["method"], report["tournament"], report["epochs"]) == ("scratch", None, 3)
    baseline = finished(service, {"family": "lasso", "scores": []}, name="linear", method="lasso")
    response = service.client.get(f"{JOBS}/{baseline}/report", params={"format": "html"})
    assert response.status_code == 200 and "<svg" not in response.text and "linear/1" in response.text


def test_only_what_succeeded_has_a_report(service: Service) -> None:
    waiting = service.submit(dataset_id=service.add_dataset(), model_name="m", method="scratch")["id"]
    for fmt in ("json", "html"):
        response = service.client.get(f"{JOBS}/{waiting}/report", params={"format": fmt})
        assert (response.status_code, response.json()["code"]) == (409, "job_not_finished")
        assert response.headers["content-type"] == "application/problem+json"
        assert "is queued" in response.json()["detail"]
    service.client.post(f"{JOBS}/{waiting}/cancel")
    assert "is cancelled" in service.client.get(f"{JOBS}/{waiting}/report").json()["detail"]
    response = service.client.get(f"{JOBS}/nope/report")
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")
    response = service.client.get(f"{JOBS}/{waiting}/report", params={"format": "pdf"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("accept", "fmt", "is_page"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", None, True),
        ("text/html", None, True),
        ("*/*", None, False),
        ("application/json, text/html;q=0.5", None, False),
        ("application/json", "html", True),
        ("text/html", "json", False),
    ],
)
def test_json_or_a_page(service: Service, accept: str, fmt: str | None, is_page: bool) -> None:
    job_id = finished(service, tournament())
    parameters = {} if fmt is None else {"format": fmt}
    response = service.client.get(f"{JOBS}/{job_id}/report", headers={"Accept": accept}, params=parameters)
    assert response.headers["content-type"].startswith("text/html" if is_page else "application/json")


class Page(HTMLParser):
    """Elements with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def page_of(service: Service, job_id: str) -> tuple[Page, str]:
    response = service.client.get(f"{JOBS}/{job_id}/report", headers={"Accept": "text/html"})
    assert "default-src 'none'" in response.headers["content-security-policy"]
    return Page(response.text), response.text


def test_the_page_says_it_all_and_loads_nothing(service: Service) -> None:
    page, html = page_of(service, finished(service, tournament()))
    for words in (
        "mine/1", "(GPa)", "It is ready.", "Combination is 35.7% better", "source fine-tuned", "75%",
        "CGCNN from scratch: far behind in the first fold", "1 min 15 s", "It is the champion", "< 0.001", "0.02",
        "MAE of log10",
    ):  # fmt: skip
        assert words in page.text, words
    tags = [tag for tag, _ in page.elements]
    assert "script" not in tags and tags.count("svg") == 2
    for _, attributes in page.elements:
        assert not {"src", "onload", "onerror"} & set(attributes)
        assert (attributes.get("href") or "data:").startswith("data:")
    assert "url(" not in html and "@import" not in html and "prefers-color-scheme: dark" in html
    for start in (at for at in range(len(html)) if html.startswith("<svg", at)):
        ET.fromstring(html[start : html.index("</svg>", start) + 6])  # it is XML: nothing is left open


def test_names_cannot_write_into_the_page(service: Service) -> None:
    evil = '<script>alert("x")</script>'
    search = tournament(reason=evil, left_out=[{"name": evil, "why": evil}], entrants=[entrant(evil, 1.0)])
    page, html = page_of(service, finished(service, search))
    assert "<script" not in html and page.text.count("alert") >= 4


def test_a_model_that_is_not_promoted_says_so(service: Service) -> None:
    page, html = page_of(service, finished(service, tournament(is_better=False, learning_curve=[]), promote=False))
    assert 'class="verdict warn"' in html and "It is the champion" not in page.text
    assert "It answers where it is named: mine/1" in page.text and "max_seconds" in page.text


def test_one_entrant_may_win(service: Service) -> None:
    page, _ = page_of(service, finished(service, tournament(combined=False)))
    assert "combination" not in page.text
    winners = [attributes for tag, attributes in page.elements if tag == "rect" and "winner" in attributes["class"]]
    assert len(winners) == 1


def report_of(**changes: Any) -> TournamentReport:
    search = tournament(**changes)
    members = [{"name": name, "weight": weight} for name, weight in search["winner"]["members"].items()]
    return TournamentReport.model_validate({**search, "winner": {**search["winner"], "members": members}})


def test_bars_are_as_long_as_errors_are_large() -> None:
    chart = bar_chart(report_of())
    assert [bar.name for bar in chart.bars][:2] == ["combination", "SVR, bonding descriptors"]
    assert [bar.is_winner for bar in chart.bars] == [True, False, False, False]
    lengths = [bar.end - chart.left for bar in chart.bars]
    assert lengths == pytest.approx([lengths[0] * mae / 9.0 for mae in (9.0, 10.0, 11.0, 14.0)])
    assert [(x - chart.left) / lengths[1] for x, _ in chart.bars[1].points] == pytest.approx([0.9, 1.1, 1.0])
    assert all(chart.left <= x <= chart.width for bar in chart.bars for x, _ in bar.points)
    many = report_of(combined=False, entrants=[entrant(f"entrant {n}", 1.0 + n) for n in range(30)])
    chart = bar_chart(many)
    assert (len(chart.bars), chart.n_hidden) == (MAX_BARS, 31 - MAX_BARS)


def test_the_learning_curve_falls_as_the_errors_do() -> None:
    curve = learning_curve(report_of())
    assert curve is not None and len(curve.points) == 4
    assert [p.x for p in curve.points] == sorted(p.x for p in curve.points)
    assert [p.y for p in curve.points] == sorted(p.y for p in curve.points)
    assert all(0 < p.y < curve.bottom for p in curve.points)
    assert learning_curve(report_of(learning_curve=[])) is None


@pytest.mark.parametrize("flat", [0.0, 1e-9, 3.0, 1e12])
def test_any_errors_can_be_drawn(flat: float) -> None:
    report = report_of(
        combined=False, entrants=[entrant("SVR, bonding descriptors", flat)],
        learning_curve=[{"n_train": n, "mae": flat, "mae_transformed": flat} for n in (10, 20)],
    )  # fmt: skip
    assert bar_chart(report).ticks and learning_curve(report) is not None


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [(10.0, [0, 2, 4, 6, 8, 10]), (0.09, [0, 0.02, 0.04, 0.06, 0.08, 0.1]), (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0])],
)
def test_ticks(highest: float, ticks: list[float]) -> None:
    assert nice_ticks(highest) == pytest.approx(ticks)


def test_numbers_for_people() -> None:
    assert [duration(s).replace("\N{NO-BREAK SPACE}", " ") for s in (0.04, 59.94, 75.2, 3725.0)] == [
        "0.0 s",
        "59.9 s",
        "1 min 15 s",
        "1 h 2 min",
    ]
    assert [p_value(p) for p in (1e-9, 0.0123, 1.0)] == ["< 0.001", "0.012", "1"]


def test_the_spec_of_such_a_job_names_its_sources(service: Service) -> None:
    service.add_shipped()
    job_id = service.submit(dataset_id=service.add_dataset(), model_name="mine", method="auto")["id"]
    with open_session(service.sessions) as session:
        spec = FineTuningSpec.model_validate(service.jobs(session).get(job_id).spec)
    assert {source.name for source in spec.sources} == {"cgcnn-formation-energy", "cgcnn-band-gap"}
    assert spec.base is None and spec.hyperparameters.max_seconds is not None
