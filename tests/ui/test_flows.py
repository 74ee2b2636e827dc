"""What people do at the page, in a real Chromium with a real service and worker behind it."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from app.fine_tuning.report_schemas import TournamentReport
from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF
from tests.e2e.conftest import Running
from tests.fine_tuning.reports import tournament
from tests.tiny_models import COMPOSITION_MODEL, ENERGY_MODEL
from tests.ui.conftest import PHONE_WIDTH, Visit
from tests.webhooks.receiver import is_signed_with, running_receiver
from tests.workers.conftest import binary_compounds

TRAINED = "page-moduli"
JOB_MS = 120_000


def _rows(page: Any, caption: str) -> list[list[str]]:
    """The cells of a table, once it is there."""
    table = page.locator("table", has=page.locator("caption", has_text=caption)).first
    table.wait_for()
    return [
        [cell.strip() for cell in row.locator("th, td").all_inner_texts()] for row in table.locator("tbody tr").all()
    ]


def _saved(visit: Visit, button: str) -> str:
    with visit.page.expect_download() as waiting:
        visit.page.get_by_role("button", name=button, exact=True).click()
    return Path(waiting.value.path()).read_text()


def _upload(visit: Visit, name: str, content: bytes, title: str) -> None:
    visit.go("/data")
    visit.page.get_by_label("File", exact=True).set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content}
    )
    visit.page.get_by_label("Name").fill(title)
    visit.page.get_by_role("button", name="Upload and check").click()


def test_an_example_is_one_click_away(visit: Visit) -> None:
    visit.page.goto(visit.url)
    visit.see("Predict properties of crystals")
    visit.page.get_by_role("link", name="Tutorials").click()
    visit.page.get_by_role("link", name="Predict in one minute").first.click()
    visit.see("Predict in one minute")
    visit.page.get_by_role("link", name="Xtalforge").click()
    visit.page.get_by_role("button", name="Rock salt (CIF)").click()
    cell = visit.page.locator(".cell-view[data-drawn]")
    cell.wait_for()
    assert cell.get_attribute("data-drawn") == "27", "8 atoms of the cell, with their images on its faces and corners"
    assert "NaCl" in cell.get_attribute("aria-label")
    expect(cell.locator("canvas").first).to_be_attached()
    assert "Na (Sodium), 4" in visit.page.locator(".legend").inner_text()
    rows = _rows(visit.page, "Predictions for")
    assert {row[0].split("\n")[0] for row in rows} == {"formation energy", "band gap (PBE)"}
    assert all("eV" in row[1] for row in rows)
    assert visit.page.get_by_text("Kohn-Sham band gap, PBE.").is_visible()
    visit.page.get_by_role("button", name="Turn left").click()


def test_files_formulas_and_what_is_wrong_with_them(visit: Visit) -> None:
    visit.go("/predict")
    files = [("salt.cif", NACL_CIF), ("broken.cif", "data_broken\n")]
    visit.page.get_by_label("Structure files or zips of them").set_input_files(
        [{"name": name, "mimeType": "text/plain", "buffer": text.encode()} for name, text in files]
    )
    dropped = visit.page.evaluate_handle(
        "text => { const all = new DataTransfer(); all.items.add(new File([text], 'POSCAR')); return all; }",
        DIAMOND_POSCAR,
    )
    visit.page.dispatch_event(".drop", "drop", {"dataTransfer": dropped})
    visit.page.get_by_label("Formulas, or the text").fill("SrTiO3\nXq2O")
    visit.page.get_by_role("button", name="Predict", exact=True).click()
    predicted = {row[0] for row in _rows(visit.page, "Predictions")}
    assert predicted == {"salt.cif", "POSCAR", "SrTiO3"}
    failed = {row[0]: row[1] for row in _rows(visit.page, "Without a value")}
    assert set(failed) == {"broken.cif", "Xq2O"} and "'Xq' is not an element" in failed["Xq2O"]
    visit.page.get_by_role("button", name="POSCAR", exact=True).first.click()
    visit.page.get_by_role("heading", name="Si", exact=True).wait_for()
    visit.page.get_by_label("Level of the intervals").last.select_option("0.5")
    visit.page.get_by_role("columnheader", name="50").wait_for()
    table = list(csv.DictReader(io.StringIO(_saved(visit, "Download CSV"))))
    assert {row["input_id"] for row in table} == {*predicted, *failed}
    assert {row["unit"] for row in table if row["value"]} == {"eV", "eV/atom"}
    assert {row["error_code"] for row in table if not row["value"]} == {"no_atoms", "invalid_composition"}


def test_nothing_usable_and_nothing_given(visit: Visit) -> None:
    visit.expected_statuses = {422}
    visit.go("/predict")
    button = visit.page.get_by_role("button", name="Predict", exact=True)
    button.click()
    assert visit.page.get_by_role("alert").inner_text() == "Give a file or a formula first."
    visit.page.get_by_label("Formulas, or the text").fill("Xq2O")
    button.click()
    assert _rows(visit.page, "Without a value")[0][0] == "Xq2O"


def test_links_the_back_button_and_unknown_addresses(visit: Visit) -> None:
    visit.go("/predict?formulas=NaCl,KCl")
    assert {row[0] for row in _rows(visit.page, "Predictions")} == {"NaCl", "KCl"}
    visit.page.get_by_role("link", name="Models", exact=True).click()
    visit.see("Models")
    assert visit.page.evaluate("document.activeElement.tagName") == "H1", "the new page's heading has the focus"
    visit.page.go_back()
    assert {row[0] for row in _rows(visit.page, "Predictions")} == {"NaCl", "KCl"}
    visit.page.get_by_role("link", name="Models", exact=True).click()
    visit.go("/predict")
    assert visit.page.get_by_label("Formulas, or the text").input_value() == "NaCl,KCl", "and what was asked is there"
    visit.page.get_by_label("Level of the intervals").last.select_option("0.5")
    visit.page.get_by_role("columnheader", name="50").wait_for()
    visit.go("/nowhere")
    visit.see("There is no such page")
    visit.go("/")
    visit.see("Predict properties of crystals")
    visit.expected_statuses = {404}
    for address in ("/models/nothing-of-this-name", "/models/cut-in-a-letter-%E0%A4%A"):
        visit.go(address)
        visit.page.get_by_role("alert").filter(has_text=address[8:25]).wait_for()


def test_a_button_keeps_the_focus_of_who_pressed_it(visit: Visit) -> None:
    visit.go("/predict")
    visit.page.get_by_label("Formulas, or the text").fill("NaCl, Li0,5CoO2")
    visit.page.get_by_role("button", name="Predict", exact=True).press("Enter")
    assert _rows(visit.page, "Predictions for")
    assert visit.page.evaluate("document.activeElement.textContent") == "Predict"
    failed = _rows(visit.page, "Without a value")
    assert [row[0] for row in failed] == ["Li0,5CoO2"] and "decimals with a point" in failed[0][1]


def test_what_is_dropped_is_one_file_or_nothing(visit: Visit) -> None:
    visit.go("/data")
    visit.page.get_by_label("File", exact=True).wait_for()
    make = "names => { const all = new DataTransfer(); all.setData('text/plain', 'NaCl');"
    make += " for (const name of names) all.items.add(new File(['x'], name)); return all; }"
    for names in ([], ["a.csv", "b.csv"]):
        dropped = visit.page.evaluate_handle(make, names)
        visit.page.dispatch_event(".drop", "drop", {"dataTransfer": dropped})
    visit.page.get_by_text("One file at a time: a.csv was taken").wait_for()
    assert visit.page.get_by_label("File", exact=True).evaluate("field => field.files[0].name") == "a.csv"


def test_without_webgl_the_values_are_there(visit: Visit) -> None:
    visit.page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    visit.page.goto(visit.url)
    visit.page.get_by_role("button", name="Rock salt (CIF)").click()
    visit.page.get_by_text("This browser offers no WebGL").wait_for()
    assert _rows(visit.page, "Predictions for")


def test_on_a_phone_a_wide_table_is_a_list(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": PHONE_WIDTH, "height": 740})
    visit.go("/predict?formulas=NaCl,KCl")
    table = visit.page.get_by_role("table", name="Predictions")
    table.wait_for()
    assert table.evaluate("table => table.scrollWidth <= table.parentElement.clientWidth"), "nothing is cut off"
    expect(table.get_by_role("row").nth(1).get_by_role("cell")).to_have_count(4)
    table.get_by_role("button", name="Value").click()
    expect(table.get_by_role("columnheader", name="Value")).to_have_attribute("aria-sort", "ascending")


def test_a_data_set_is_checked(visit: Visit) -> None:
    lines = ["id,composition,k_vrh", *(f"r{i},K{i + 1}Cl,{20 + 3 * i}" for i in range(30))]
    lines += ["again,KCl,20", "other,KCl,60", "far,MgO,0.02", "bad,Xq2O,10"]
    _upload(visit, "moduli.csv", "\n".join(lines).encode(), "moduli to look at")
    visit.see("moduli to look at")
    tiles = visit.page.locator(".tile").all_inner_texts()
    assert [" ".join(text.split()) for text in tiles] == [
        "32 usable rows", "1 failed", "1 duplicates left out", "1 conflicting labels", "1 outliers",
        "31 different formulas",
    ]  # fmt: skip
    expect(visit.page.locator("figure svg .bar").nth(9)).to_be_attached()
    expect(visit.page.locator("figure svg .marked")).to_have_count(1)
    assert visit.page.locator(".periodic .level-3").all_inner_texts() == ["Cl", "K"]
    assert _rows(visit.page, "Failed rows")[0][1] == "bad"
    assert [row[:2] for row in _rows(visit.page, "Rows that repeat another")] == [["again", "r0"]]
    visit.expected_statuses = {422}
    _upload(visit, "few.csv", b"composition,k_vrh\nMgO,155\nXq,1\n", "few")
    visit.page.get_by_role("alert").wait_for()
    assert _rows(visit.page, "Failed rows")[0][2].startswith("The composition 'Xq' cannot be read")


@pytest.fixture(scope="module")
def dataset(service: Running) -> str:
    with service.client() as client:
        answer = client.post(
            "/v1/datasets",
            files={"file": ("b.jsonl", binary_compounds())},
            data={"property": "k_vrh", "name": "binaries"},
        )
    return str(answer.json()["id"])


def test_a_training_is_watched_and_reported(visit: Visit, dataset: str) -> None:
    after: list[str | None] = []

    def cut(route: Any) -> None:
        # The first stream breaks after its first event: the page has to go on behind it.
        after.append(route.request.headers.get("last-event-id"))
        if len(after) > 1:
            route.continue_()
            return
        event = {
            "seq": 1,
            "level": "info",
            "kind": "message",
            "message": "cut here",
            "data": {},
            "created_at": "2026-01-01T00:00:00Z",
        }
        route.fulfill(content_type="text/event-stream", body=f"id: 1\nevent: message\ndata: {json.dumps(event)}\n\n")

    visit.page.route("**/events", cut)
    visit.go(f"/train?dataset={dataset}&method=fine_tune")
    visit.page.get_by_label("Name of the model").fill(TRAINED)
    visit.page.get_by_text("Options", exact=True).click()
    visit.page.get_by_label("max epochs").fill("6")
    visit.page.get_by_role("button", name="Start training").click()
    visit.see(f"Training of {TRAINED}")
    visit.page.get_by_text("Error on validation rows").wait_for(timeout=JOB_MS)
    visit.page.get_by_role("heading", name="is ready").wait_for(timeout=JOB_MS)
    assert after[:2] == [None, "1"]
    dots = visit.page.locator("figure", has_text="Predicted against true").locator("circle.dot")
    n_test = int(next(row[1] for row in _rows(visit.page, "Errors") if row[0].startswith("test")))
    expect(dots).to_have_count(n_test)
    visit.page.get_by_text("Errors of the test rows").wait_for()
    curve = visit.page.locator("figure", has_text="Error on validation rows")
    curve.get_by_text("Numbers").click()
    assert [row.split()[0] for row in curve.locator("tbody tr").all_inner_texts()] == ["1", "2", "3", "4", "5", "6"]
    assert visit.page.get_by_role("link", name="What to measure next").is_visible()
    visit.page.get_by_role("link", name="Predict with it").click()
    visit.page.get_by_label("Formulas, or the text").fill(NACL_CIF)
    visit.page.get_by_role("button", name="Predict", exact=True).click()
    assert f"{TRAINED}/1" in _rows(visit.page, "Predictions for")[0][0]
    visit.page.go_back()
    visit.page.get_by_role("link", name=f"{TRAINED}/1").first.click()
    visit.see(f"{TRAINED}/1")
    boxes = visit.page.locator("svg.lineage text:not(.sub)").all_text_contents()
    assert boxes == ["cgcnn-formation-energy/1", f"{TRAINED}/1"]
    visit.page.get_by_text("Model card").click()
    expect(visit.page.locator(".markdown h3").first).to_be_visible()


def _make_versions(client: Any, dataset: str, wanted: int) -> list[str]:
    """Jobs that bring the model of this page to that many versions."""
    known = client.get(f"/v1/models/{TRAINED}/versions")
    present = len(known.json()["items"]) if known.status_code == 200 else 0
    body = {"dataset_id": dataset, "model_name": TRAINED, "method": "scratch", "hyperparameters": {"max_epochs": 1}}
    answers = [client.post("/v1/fine-tuning/jobs", json={**body, "seed": n}) for n in range(present, wanted)]
    return [answer.json()["id"] for answer in answers]


def test_versions_are_promoted_and_rolled_back(visit: Visit, service: Running, dataset: str) -> None:
    with service.client() as client:
        for job in _make_versions(client, dataset, 2):
            visit.go(f"/train/{job}")
            visit.page.get_by_role("heading", name="is ready").wait_for(timeout=JOB_MS)
        visit.go(f"/models/{TRAINED}")
        before = client.get(f"/v1/models/{TRAINED}/aliases/champion").json()["version"]
        champion = visit.page.get_by_role("form", name="Alias champion")
        champion.get_by_label("Point it at").select_option(str(3 - before))
        champion.get_by_label("Reason").fill("for a test")
        champion.get_by_role("button", name="Promote").click()
        visit.page.get_by_text(f"champion is version {3 - before} now.").wait_for()
        champion.get_by_role("button", name="Roll back").click()
        visit.page.get_by_text("points again where it pointed before").wait_for()
        history = client.get(f"/v1/models/{TRAINED}/aliases/champion/history").json()["items"]
        moves = [(move["kind"], move["to_version"], move["reason"]) for move in history[:2]]
        assert moves == [("rollback", before, ""), ("set", 3 - before, "for a test")]
        # Somebody else was quicker: what one did not see is not overwritten.
        client.put(f"/v1/models/{TRAINED}/aliases/champion", json={"version": 3 - before})
        visit.expected_statuses = {412}
        champion.get_by_role("button", name="Promote").click()
        visit.page.get_by_role("alert").wait_for()
        assert client.get(f"/v1/models/{TRAINED}/aliases/champion").json()["version"] == 3 - before


def test_methods_that_competed_are_compared(visit: Visit, service: Running, dataset: str) -> None:
    with service.client() as client:
        for job in _make_versions(client, dataset, 1):
            visit.go(f"/train/{job}")
            visit.page.get_by_role("heading", name="is ready").wait_for(timeout=JOB_MS)
        job = client.get("/v1/fine-tuning/jobs", params={"status": "succeeded"}).json()["items"][0]["id"]

    def compete(route: Any) -> None:
        # A real tournament takes a minute; its report is told here as the service tells it.
        report = route.fetch().json()
        found = tournament()
        members = [{"name": name, "weight": weight} for name, weight in found["winner"]["members"].items()]
        found["winner"]["members"] = members
        report["tournament"] = TournamentReport.model_validate(found).model_dump(mode="json")
        route.fulfill(json=report)

    visit.page.route("**/report", compete)
    visit.go(f"/train/{job}")
    visit.page.reload()
    visit.page.get_by_role("heading", name="Methods compared").wait_for()
    expect(visit.page.locator("figure", has_text="Error by cross-validation").locator("rect.bar")).to_have_count(4)
    expect(visit.page.locator("figure", has_text="Learning curve").locator("circle.dot")).to_have_count(4)
    assert _rows(visit.page, "Methods")[0][0] == "SVR, bonding descriptors"
    assert _rows(visit.page, "against what is simpler")[0][1].replace("\u2009", "") == "30.0%"


def test_a_whole_file_is_predicted(visit: Visit) -> None:
    visit.go("/bulk")
    content = b"id,composition\na,NaCl\nb,SrTiO3\nc,Xq\n"
    visit.page.get_by_label("File", exact=True).set_input_files(
        {"name": "many.csv", "mimeType": "text/csv", "buffer": content}
    )
    visit.page.get_by_label("Models", exact=True).select_option("properties")
    visit.page.get_by_label("formation energy").check()
    visit.page.get_by_role("button", name="Start").click()
    visit.see("Predictions for many.csv")
    visit.page.get_by_role("button", name="Download CSV").wait_for(timeout=JOB_MS)
    rows = list(csv.DictReader(io.StringIO(_saved(visit, "Download CSV"))))
    assert [(row["input_id"], bool(row["value"]), row["error_code"]) for row in rows] == [
        ("a", True, ""), ("b", True, ""), ("c", False, "invalid_composition"),
    ]  # fmt: skip


def test_what_an_order_met_stays_when_the_job_is_read_anew(visit: Visit, service: Running, dataset: str) -> None:
    with service.client() as client:
        job = client.post("/v1/bulk-predictions", json={"dataset_id": dataset}).json()

    def running(route: Any) -> None:
        route.fulfill(json={**job, "status": "running"})

    visit.page.route(f"**/v1/bulk-predictions/{job['id']}", running)
    problem = {"status": 409, "code": "job_not_pausable", "title": "Not now", "detail": "It is nearly done."}
    visit.page.route("**/pause", lambda route: route.fulfill(status=409, json=problem))
    visit.expected_statuses = {409}
    visit.go(f"/bulk/{job['id']}")
    visit.page.get_by_role("button", name="Pause").click()
    visit.page.get_by_text("It is nearly done.").wait_for()
    with visit.page.expect_response(f"**/v1/bulk-predictions/{job['id']}"):
        pass
    visit.page.wait_for_timeout(200)
    assert visit.page.get_by_text("It is nearly done.").is_visible()


def test_a_chart_that_replaces_another_is_never_blank(visit: Visit) -> None:
    visit.go("/settings")
    visit.see("Settings")
    assert visit.page.evaluate("""async () => {
        const { lineChart } = await import("./ui/js/charts.js");
        const made = () => lineChart({ caption: "Loss", summary: "", xLabel: "epoch", yLabel: "loss",
            series: [{ name: "loss", points: [[1, 2], [2, 1]] }] });
        const first = made();
        document.querySelector("main").append(first);
        while (!first.querySelector("path.line")) await new Promise((next) => setTimeout(next, 20));
        const second = made();
        first.replaceWith(second);
        return second.querySelectorAll("path.line").length;
    }""") == 1  # fmt: skip


def test_candidates_are_screened(visit: Visit) -> None:
    visit.go("/screen")
    visit.page.get_by_label("Candidates").select_option("solid_solution")
    visit.page.get_by_label("End members").fill("NaCl, KCl")
    visit.page.get_by_label("Steps").fill("4")
    visit.page.get_by_role("group", name="Constraint").get_by_role("button", name="Remove this constraint").click()
    visit.page.get_by_role("group", name="Objective").get_by_label("Property").select_option(
        "formation_energy_per_atom"
    )
    visit.page.get_by_label("Only materials like the training data").uncheck()
    visit.page.get_by_role("button", name="Screen", exact=True).click()
    visit.page.get_by_role("button", name="Download CSV").wait_for(timeout=JOB_MS)
    rows = _rows(visit.page, "Candidates, best first")
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    values = [float(row[2].split("\n")[0].replace("\N{MINUS SIGN}", "-")) for row in rows]
    assert values == sorted(values)
    saved = list(csv.DictReader(io.StringIO(_saved(visit, "Download CSV"))))
    assert [row["rank"] for row in saved] == ["1", "2", "3", "4", "5"]
    visit.page.get_by_role("button", name="formation energy").click()
    visit.page.get_by_role("button", name="formation energy").click()
    assert [row[0] for row in _rows(visit.page, "Candidates, best first")] == ["5", "4", "3", "2", "1"]
    visit.go("/jobs")
    assert "Screening" in {row[1] for row in _rows(visit.page, "Jobs, newest first")}


def test_cells_of_screened_crystals(visit: Visit) -> None:
    visit.go("/screen")
    for site, elements in (("A", "Na, K"), ("B", ""), ("X", "Cl")):
        visit.page.get_by_label(f"Elements on site {site}").fill(elements)
    visit.page.get_by_label("perovskite", exact=True).uncheck()
    visit.page.get_by_label("rock salt").check()
    visit.page.get_by_role("button", name="Remove this constraint").click()
    visit.page.get_by_label("Only materials like the training data").uncheck()
    visit.page.get_by_role("button", name="Screen", exact=True).click()
    visit.page.get_by_role("button", name="Download CIFs").wait_for(timeout=JOB_MS)
    best = _rows(visit.page, "Candidates, best first")[0]
    cell = visit.page.locator(".cell-view[data-drawn]")
    cell.wait_for()
    first = cell.get_attribute("aria-label")
    assert best[1].split("\n")[0] in first.replace("Unit cell of ", "") and "with 2 atoms" in first
    visit.page.get_by_role("button", name="KCl" if "NaCl" in first else "NaCl", exact=True).click()
    other = "KCl" if "NaCl" in first else "NaCl"
    visit.page.get_by_role("img", name=f"Unit cell of {other}").wait_for()
    visit.page.locator(".cell-view[data-drawn]").wait_for()
    with visit.page.expect_download() as waiting:
        visit.page.get_by_role("button", name="Download CIFs").click()
    assert zipfile.ZipFile(waiting.value.path()).testzip() is None


def test_what_to_measure_next(visit: Visit, dataset: str) -> None:
    visit.go(f"/models/{COMPOSITION_MODEL}")
    visit.page.get_by_role("link", name="What to measure next for it").click()
    visit.see("What to measure next")
    text = visit.page.get_by_label("Formulas, or the text")
    text.fill("RbF, CsF, RbCl, BaO, BaO2, NaCl, Na2Cl2, Xq2O")
    visit.page.get_by_label("How many").fill("3")
    visit.page.get_by_role("button", name="Suggest", exact=True).click()
    rows = _rows(visit.page, "Suggestions, best first")
    assert [row[0] for row in rows] == ["1", "2", "3"] and all("eV/atom" in row[3] for row in rows)
    assert _rows(visit.page, "Without a value")[0][0] == "Xq2O"
    visit.page.locator("summary", has_text="set aside").click()
    assert "Na2Cl2" in {row[0] for row in _rows(visit.page, "Not ranked")}
    saved = list(csv.DictReader(io.StringIO(_saved(visit, "Download CSV"))))
    assert [row["rank"] for row in saved] == ["1", "2", "3"] and {row["unit"] for row in saved} == {"eV/atom"}
    visit.page.get_by_label("What is worth most").select_option("target")
    visit.page.get_by_label("It is to be").select_option("bounds")
    visit.page.get_by_label("Less than (eV/atom)").fill("2")
    visit.page.get_by_role("button", name="Suggest", exact=True).click()
    visit.page.get_by_text("probability that the target is met").wait_for()
    visit.page.get_by_label("Model that is to learn").select_option(ENERGY_MODEL)
    visit.page.get_by_label("Candidates").select_option("files")
    visit.page.get_by_label("CIF or POSCAR files").set_input_files(
        [{"name": "diamond", "mimeType": "text/plain", "buffer": DIAMOND_POSCAR.encode()}]
    )
    visit.page.get_by_role("button", name="Suggest", exact=True).click()
    expect(visit.page.get_by_role("rowheader", name="diamond")).to_be_visible()
    visit.page.get_by_label("Candidates").select_option("dataset")
    visit.page.get_by_label("Data set", exact=True).select_option(dataset)
    visit.page.get_by_label("What is worth most").select_option("diversity")
    visit.page.get_by_role("button", name="Suggest", exact=True).click()
    visit.page.get_by_text("distance from the nearest training row").wait_for()


def test_webhooks_are_made_tried_and_deleted(visit: Visit) -> None:
    visit.go("/jobs")
    visit.page.get_by_role("link", name="Be told when jobs end").click()
    visit.see("Webhooks")
    with running_receiver() as receiver:
        receiver.answers.append((500, {}))
        visit.page.get_by_label("Address").fill(receiver.url)
        visit.page.get_by_label("Description").fill("a notebook")
        visit.page.get_by_label("a job was cancelled").uncheck()
        visit.page.get_by_role("button", name="Add").click()
        secret = visit.page.locator(".notice code", has_text="whsec_").inner_text()
        card = visit.page.get_by_role("region", name=f"Webhook {receiver.url}")
        assert "a notebook" in card.inner_text() and "cancelled" not in card.inner_text()
        card.get_by_role("button", name="Send a test").click()
        card.get_by_text("A test is on its way").wait_for()
        expect(visit.page.locator("summary", has_text="1 attempt")).to_be_visible()
        visit.page.locator("summary", has_text="1 attempt").click()
        visit.page.get_by_text("answered 500").wait_for()
        visit.page.get_by_role("button", name="Now", exact=True).click()
        expect(visit.page.get_by_text("delivered", exact=True)).to_be_visible()
        assert is_signed_with(secret, receiver.received[1])
        visit.page.reload()
        card.wait_for()
        assert secret not in visit.page.content()
        card.get_by_role("button", name="Delete").click()
        visit.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        visit.page.get_by_text("No webhook yet").wait_for()


def test_a_key_goes_with_every_call_and_a_missing_one_is_explained(visit: Visit) -> None:
    keys: list[str | None] = []
    visit.go("/settings")
    visit.page.get_by_label("Key", exact=True).fill("xf_test_not_a_key")
    visit.page.on(
        "request", lambda request: "/v1/" in request.url and keys.append(request.headers.get("authorization"))
    )
    problem = {"status": 401, "code": "key_invalid", "title": "No valid key", "detail": "This key is not known."}
    visit.page.route(
        "**/v1/**",
        lambda route: route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(problem)),
    )
    visit.expected_statuses = {401}
    visit.page.get_by_role("button", name="Keep").click()
    visit.page.get_by_text("This key is not known.").wait_for()
    visit.go("/models")
    alert = visit.page.get_by_role("alert")
    assert "key_invalid" in alert.inner_text() and alert.get_by_role("link", name="Enter an API key").is_visible()
    assert len(keys) >= 2 and set(keys) == {"Bearer xf_test_not_a_key"}


def test_a_service_that_is_gone_is_no_endless_wait(visit: Visit) -> None:
    visit.go("/models")
    _rows(visit.page, "Models")
    visit.page.route("**/v1/**", lambda route: route.abort())
    visit.go("/data")
    alert = visit.page.get_by_role("alert").first
    assert "The service cannot be reached" in alert.inner_text()
    visit.page.unroute("**/v1/**")
    for _ in range(2):
        visit.page.get_by_role("button", name="Try again").first.click()
    visit.page.get_by_role("button", name="Upload and check").wait_for()
    visit.faults[:] = [fault for fault in visit.faults if "ERR_FAILED" not in fault]


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/predict", "Predict properties of crystals"),
        ("/screen", "Screen candidates"),
        ("/train", "Train a model"),
        ("/models", "Models"),
        ("/models/cgcnn-formation-energy", "cgcnn-formation-energy"),
        ("/models/elemnet-formation-energy/1", "elemnet-formation-energy/1"),
        ("/settings", "Settings"),
    ],
)
def test_each_page_stands_alone(visit: Visit, dataset: str, path: str, heading: str) -> None:
    assert dataset
    visit.go(path)
    visit.see(heading)
    visit.page.get_by_text("Loading").wait_for(state="detached")
    visit.page.evaluate("for (const each of document.querySelectorAll('main details')) each.open = true")
    assert visit.page.title().endswith("· Xtalforge")


def test_it_is_used_by_keyboard_and_in_the_dark(visit: Visit) -> None:
    visit.go("/settings")
    visit.see("Settings")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.id") == "skip"
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "main"
    ground = "getComputedStyle(document.body).backgroundColor"
    light = visit.page.evaluate(ground)
    visit.page.get_by_role("button", name="Dark mode").press("Enter")
    dark = visit.page.evaluate(ground)
    assert light != dark
    visit.page.reload()
    visit.see("Settings")
    assert visit.page.evaluate(ground) == dark, "the choice is kept"
    visit.page.get_by_role("button", name="Light mode").click()
