"""The commands against a running server: whatever the API does a command does, with JSON and an exit status."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import httpx2
import pytest
import typer
from typer.testing import CliRunner

from app.cli.main import app
from app.core.settings import Settings
from app.main import create_app
from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF
from app.webhooks.signing import new_secret
from tests.crystals import rocksalt
from tests.e2e.conftest import Running, free_port, running_up, wait_for
from tests.forked import Forks
from tests.tiny_models import COMPOSITION_MODEL, ENERGY_MODEL, salts
from tests.webhooks.receiver import Received, Receiver, is_signed_with, running_receiver
from tests.workers.conftest import poscar

COMMANDS = {
    "post /v1/predictions": "predict",
    "post /v1/structures": "structures",
    "post /v1/embeddings": "embed",
    "post /v1/suggestions": "suggest",
    "post /v1/bulk-predictions": "predict-bulk",
    "get /v1/bulk-predictions": "jobs list",
    "get /v1/bulk-predictions/{job_id}": "jobs show",
    "get /v1/bulk-predictions/{job_id}/events": "jobs events",
    "get /v1/bulk-predictions/{job_id}/results": "jobs results",
    "post /v1/bulk-predictions/{job_id}/cancel": "jobs cancel",
    "delete /v1/bulk-predictions/{job_id}": "jobs delete",
    "post /v1/bulk-predictions/{job_id}/pause": "jobs pause",
    "post /v1/bulk-predictions/{job_id}/resume": "jobs resume",
    "post /v1/bulk-predictions/{job_id}/retry": "jobs retry",
    "post /v1/screenings": "screen",
    "get /v1/screenings": "jobs list",
    "get /v1/screenings/{job_id}": "jobs show",
    "get /v1/screenings/{job_id}/events": "jobs events",
    "get /v1/screenings/{job_id}/results": "jobs results",
    "get /v1/screenings/{job_id}/structures": "jobs structures",
    "post /v1/screenings/{job_id}/cancel": "jobs cancel",
    "delete /v1/screenings/{job_id}": "jobs delete",
    "post /v1/screenings/{job_id}/pause": "jobs pause",
    "post /v1/screenings/{job_id}/resume": "jobs resume",
    "post /v1/screenings/{job_id}/retry": "jobs retry",
    "get /v1/properties": "properties",
    "get /v1/models": "models list",
    "get /v1/models/{name}": "models show",
    "get /v1/models/{name}/versions": "models versions",
    "get /v1/models/{name}/versions/{version}": "models show",
    "get /v1/models/{name}/versions/{version}/card": "models show",
    "get /v1/models/{name}/versions/{version}/lineage": "models lineage",
    "get /v1/models/{name}/versions/{version}/download": "models download",
    "delete /v1/models/{name}/versions/{version}": "models delete",
    "get /v1/models/{name}/aliases/{alias}": "models alias",
    "put /v1/models/{name}/aliases/{alias}": "models promote",
    "delete /v1/models/{name}/aliases/{alias}": "models unalias",
    "get /v1/models/{name}/aliases/{alias}/history": "models alias",
    "post /v1/models/{name}/aliases/{alias}/rollback": "models rollback",
    "post /v1/datasets": "datasets upload",
    "get /v1/datasets": "datasets list",
    "get /v1/datasets/{dataset_id}": "datasets show",
    "delete /v1/datasets/{dataset_id}": "datasets delete",
    "get /v1/fine-tuning/methods": "methods",
    "post /v1/fine-tuning/jobs": "fine-tune",
    "get /v1/fine-tuning/jobs": "jobs list",
    "get /v1/fine-tuning/jobs/{job_id}": "jobs show",
    "get /v1/fine-tuning/jobs/{job_id}/events": "jobs events",
    "get /v1/fine-tuning/jobs/{job_id}/report": "report",
    "post /v1/fine-tuning/jobs/{job_id}/cancel": "jobs cancel",
    "post /v1/fine-tuning/jobs/{job_id}/pause": "jobs pause",
    "post /v1/fine-tuning/jobs/{job_id}/resume": "jobs resume",
    "post /v1/fine-tuning/jobs/{job_id}/retry": "jobs retry",
    "post /v1/webhooks": "webhooks add",
    "get /v1/webhooks": "webhooks list",
    "get /v1/webhooks/{webhook_id}": "webhooks show",
    "delete /v1/webhooks/{webhook_id}": "webhooks delete",
    "post /v1/webhooks/{webhook_id}/test": "webhooks test",
    "get /v1/webhooks/deliveries": "webhooks deliveries",
    "post /v1/webhooks/deliveries/{delivery_id}/retry": "webhooks retry",
    "get /health/ready": "status",
    "get /v1/access": "status",
}
WITHOUT_COMMAND = {
    "post /v1/predictions/upload": "`predict` reads the files itself and sends what is in them",
    "post /v1/structures/upload": "`structures` does the same",
    "get /health/live": "for whatever keeps the process alive; `status` asks more",
}

WITHOUT_JSON = {"up", "reproduce", "openapi"}
"""A service with its log, days of trials with a report, and a document that is JSON."""

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path, forks: Forks) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XTALFORGE_WEBHOOKS__ALLOW_PRIVATE", "true")
        patch.setenv("XTALFORGE_WEBHOOKS__POLL_S", "0.2")
        with running_up(tmp_path_factory.mktemp("cli-server"), tiny_models, forks=forks) as running:
            yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "nacl.cif").write_text(NACL_CIF)
    (folder / "POSCAR").write_text(DIAMOND_POSCAR)
    (folder / "bad.cif").write_text("hello")
    rows = [json.dumps({"poscar": poscar(c), "k_vrh": 40 + 5 * i}) for i, c in enumerate(salts())]
    (folder / "salts.jsonl").write_text("\n".join(rows))
    silver = [rocksalt(5.55, "Ag", "Cl"), rocksalt(5.77, "Ag", "Br")]
    (folder / "silver.jsonl").write_text("\n".join(json.dumps({"poscar": poscar(c)}) for c in silver))
    (folder / "formulas.csv").write_text("id,composition\na,NaCl\nb,Xx2\n")
    return folder


@pytest.fixture(scope="module")
def run(server: Running, folder: Path) -> Run:
    """A command as JSON; its exit status must be the one that is expected."""

    def command(*arguments: str, status: int = 0) -> Any:
        files = [str(folder / a) if (folder / a).is_file() else a for a in arguments]
        done = CliRunner(env={"XTALFORGE_URL": server.url}).invoke(app, [*files, "--json"])
        assert done.exit_code == status, (arguments, done.output, done.exception)
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) and status in (0, 3) else done

    return command


def test_every_call_of_the_api_has_a_command() -> None:
    document = create_app(Settings()).openapi()
    calls = {f"{method} {path}" for path, methods in document["paths"].items() for method in methods}
    assert calls == COMMANDS.keys() | WITHOUT_COMMAND.keys()
    commands = dict(_commands(typer.main.get_command(app)))
    for name in COMMANDS.values():
        assert {"--json", "--server"} <= commands[name], f"{name} lacks an option"
    assert {name for name, options in commands.items() if "--json" not in options} == WITHOUT_JSON


def _commands(command: Any, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each command and its options."""
    if not isinstance(command, click.Group) and not hasattr(command, "commands"):
        yield name, {option for parameter in command.params for option in parameter.opts}
        return
    for part, below in command.commands.items():
        yield from _commands(below, f"{name} {part}".strip())


def _datasets(run: Run) -> None:
    stored = run("datasets", "upload", "salts.jsonl", "-p", "k_vrh", "-n", "salts")
    assert stored["report"]["n_usable"] == len(salts())
    assert [d["id"] for d in run("datasets", "list")] == [stored["id"]]
    assert run("datasets", "show", stored["id"])["name"] == "salts"
    run("datasets", "delete", stored["id"])
    run("datasets", "show", stored["id"], status=4)


def _training(run: Run) -> str:
    job = run("fine-tune", "salts.jsonl", "-p", "k_vrh", "-n", "mine", "--max-epochs", "2")
    assert job["status"] == "succeeded"
    assert run("jobs", "show", job["id"])["result"]["model"] == "mine"
    assert [j["id"] for j in run("jobs", "list", "--kind", "fine-tuning", "--status", "succeeded")] == [job["id"]]
    for order in ("cancel", "pause", "resume", "retry"):  # it has succeeded
        run("jobs", order, job["id"], status=4)
    assert run("report", job["id"])["model"]["name"] == "mine"
    run("jobs", "results", job["id"], "-o", "x.csv", status=4)
    return str(job["id"])


def _models(run: Run, out: Path) -> None:
    assert {m["name"] for m in run("models", "list")} >= {ENERGY_MODEL, "mine"}
    assert run("models", "show", "mine@champion")["version"] == 1
    assert [v["version"] for v in run("models", "versions", "mine")] == [1]
    assert run("models", "lineage", "mine/1")["ancestors"][0]["name"] == ENERGY_MODEL
    run("models", "download", "mine", "-o", str(out))
    assert (out / "mine" / "1" / "manifest.json").is_file()
    run("models", "download", "mine", "-o", str(out), status=1)
    assert run("models", "promote", "mine/1", "--alias", "best")["version"] == 1
    assert run("models", "alias", "mine", "best")["revision"] == 1
    run("models", "promote", "mine/1", "--alias", "best", "--if-revision", "7", status=4)
    run("models", "rollback", "mine", "--alias", "best", status=4)
    run("models", "unalias", "mine", "best")
    assert [c["kind"] for c in run("models", "alias", "mine", "best", "--history")] == ["delete", "set"]
    run("models", "delete", "mine/1", status=4)


def _predictions(run: Run, out: Path) -> None:
    answer = run(
        "predict", "nacl.cif", "POSCAR", "bad.cif", "-c", "SrTiO3", "-p", "formation_energy_per_atom", status=3
    )
    assert (len(answer["predictions"]), len(answer["errors"])) == (3, 1)
    assert len(run("embed", "nacl.cif", "-m", ENERGY_MODEL)["embeddings"]) == 1
    assert run("structures", "nacl.cif")["structures"][0]["n_sites"] == 8
    run("predict", "bad.cif", status=1)
    run("predict", "nacl.cif", "-m", "nope", status=4)
    assert len(run("suggest", "silver.jsonl", "-m", "mine", "-k", "2")["suggestions"]) == 2
    known = run("suggest", "salts.jsonl", "-m", "mine")  # all of them have labels
    assert (known["suggestions"], len(known["set_aside"])) == ([], len(salts()))


def _jobs_over_files(run: Run, server: Running, out: Path) -> None:
    invoke = CliRunner(env={"XTALFORGE_URL": server.url}).invoke
    formulas = out / "formulas.csv"
    formulas.write_text("id,composition\na,NaCl\nb,Xx2\n")
    done = invoke(app, ["predict-bulk", str(formulas), "-m", COMPOSITION_MODEL, "-o", str(out / "bulk.csv")])
    assert done.exit_code == 3, done.output
    rocksalts = ("--prototype", "rocksalt", "--site", "A=Na,K", "--site", "X=Cl", "--any-domain")
    wish = ("--minimise", "formation_energy_per_atom", "-m", ENERGY_MODEL)
    done = invoke(app, ["screen", *rocksalts, *wish, "-o", str(out / "best.csv"), "--json"])
    assert done.exit_code == 0, done.output
    for kind, name in (("bulk", "bulk prediction"), ("screening", "screening")):
        [job] = run("jobs", "list", "--kind", kind)
        assert job["kind"] == name and run("jobs", "show", job["id"])["status"] == "succeeded"
        events = invoke(app, ["jobs", "events", job["id"], "--json"]).stdout.splitlines()
        assert [json.loads(line)["seq"] for line in events] == list(range(1, len(events) + 1))
        fetched = out / f"{kind}.jsonl"
        run("jobs", "results", job["id"], "-o", str(fetched))
        assert fetched.read_text().startswith("{")
        for order in ("cancel", "pause", "resume", "retry"):  # it has succeeded
            run("jobs", order, job["id"], status=4)
        if kind == "screening":
            run("jobs", "structures", job["id"], "-o", str(out / "cifs.zip"))
            assert (out / "cifs.zip").read_bytes()[:2] == b"PK"
        run("jobs", "delete", job["id"])
        run("jobs", "results", job["id"], "-o", str(fetched), status=4)


def _webhooks(run: Run, receiver: Receiver) -> str:
    run("webhooks", "add", "http://169.254.169.254/latest", status=4)
    made = run("webhooks", "add", receiver.url, "--description", "tests")
    assert made["secret"].startswith("whsec_")
    shown = [run("webhooks", "list"), run("webhooks", "show", made["id"])]
    assert made["secret"] not in json.dumps(shown)
    assert run("webhooks", "test", made["id"])["status"] == "pending"
    wait_for(lambda: receiver.received, "the test message", 10)
    wait_for(lambda: run("webhooks", "deliveries")[0]["status"] == "delivered", "its outcome", 10)
    run("webhooks", "retry", run("webhooks", "deliveries")[0]["id"], status=4)
    return str(made["id"])


def _jobs_that_are_not_waited_for(run: Run, server: Running, receiver: Receiver, out: Path) -> None:
    """Started over a stored data set, told of by a webhook, fetched later."""
    secret = new_secret()
    (out / "secret").write_text(f"{secret}\n")
    told = ("--detach", "--webhook", f"{receiver.url}/detached", "--webhook-secret-file", str(out / "secret"))
    stored = run("datasets", "upload", "salts.jsonl", "-p", "k_vrh")["id"]
    begun = [
        run("predict-bulk", "--dataset", stored, "-m", ENERGY_MODEL, *told),
        run("predict-bulk", "formulas.csv", "-m", COMPOSITION_MODEL, *told),
        run("screen", "--dataset", stored, "--maximise", "band_gap", "--any-domain", *told),
        run(
            "screen", "--mix", "NaCl", "--mix", "KCl", "--minimise", "formation_energy_per_atom", "--any-domain", *told
        ),
        run("fine-tune", "--dataset", stored, "-n", "mine", "--max-epochs", "1", "--method", "scratch", *told),
    ]
    assert {job["status"] for job in begun} <= {"queued", "running", "validating"}
    suggested = run("suggest", "--dataset", stored, "-m", ENERGY_MODEL, "-k", "1", "--strategy", "diversity")
    assert suggested["n_ranked"] + len(suggested["set_aside"]) == len(salts())

    def bodies() -> dict[str, Received]:
        return {json.loads(each.body)["data"]["id"]: each for each in receiver.received if "detached" in each.path}

    wait_for(lambda: bodies().keys() == {job["id"] for job in begun}, "the messages of all jobs", 120)
    for job in begun:
        assert is_signed_with(secret, bodies()[job["id"]]) and run("jobs", "show", job["id"])["status"] == "succeeded"
    run("jobs", "results", begun[0]["id"], "-o", str(out / "later.csv"))
    assert len((out / "later.csv").read_text().splitlines()) == 1 + len(salts())


def _a_job_with_its_own_receiver(server: Running, receiver: Receiver) -> None:
    """An upload names it in the form; what is refused is not repeated."""
    files = {"file": ("formulas.csv", "composition\nNaCl\n")}
    fields = {"models": COMPOSITION_MODEL, "webhook_url": f"{receiver.url}/own", "webhook_secret": new_secret()}
    with server.client() as client:
        refused = client.post("/v1/bulk-predictions", files=files, data={**fields, "webhook_secret": "my-password"})
        assert refused.status_code == 422 and "my-password" not in refused.text
        job = client.post("/v1/bulk-predictions", files=files, data=fields).json()
        wait_for(lambda: any(each.path == "/hook/own" for each in receiver.received), "the job's own message", 60)
        own = next(each for each in receiver.received if each.path == "/hook/own")
        told = json.loads(own.body)
        assert (told["type"], told["data"]["id"]) == ("job.succeeded", job["id"])
        assert is_signed_with(fields["webhook_secret"], own)
        assert client.get(told["data"]["path"]).json()["status"] == "succeeded"


def _calls_made(server: Running) -> set[str]:
    text = httpx2.get(f"{server.url}/metrics").text
    found = re.findall(r"^xtalforge_http_request_seconds_count\{(.*)\} ", text, re.MULTILINE)
    labels = [dict(re.findall(r'(\w+)="([^"]*)"', each)) for each in found]
    return {f"{each['method'].lower()} {each['route']}" for each in labels}


@pytest.mark.proof
def test_a_user_without_a_browser(run: Run, server: Running, folder: Path, receiver: Receiver, tmp_path: Path) -> None:
    assert run("status")["ready"] is True
    assert "k_vrh" in {p["key"] for p in run("properties")}
    assert "fine_tune" in {m["name"] for m in run("methods")}
    hook = _webhooks(run, receiver)
    _datasets(run)
    job = _training(run)
    wait_for(lambda: any(job in each.body for each in receiver.received), "the message of the training's end", 10)
    _models(run, tmp_path)
    _predictions(run, tmp_path)
    _jobs_over_files(run, server, tmp_path)
    _jobs_that_are_not_waited_for(run, server, receiver, tmp_path)
    _a_job_with_its_own_receiver(server, receiver)
    for arguments in (["jobs", "events", job], ["models", "show", "mine"]):
        done = CliRunner(env={"XTALFORGE_URL": server.url}).invoke(app, arguments)
        assert done.exit_code == 0 and len(done.stdout.splitlines()) > 1, done.output
    run("webhooks", "delete", hook)
    assert run("webhooks", "list") == []
    assert COMMANDS.keys() - _calls_made(server) == set()


def test_what_only_a_service_does(folder: Path) -> None:
    """Refused before anything is read or stored."""
    rows, out = str(folder / "formulas.csv"), str(folder / "none.csv")
    for arguments, named in (
        (["predict-bulk", rows, "-o", out, "--webhook", "https://lab.example.org/h"], "--webhook"),
        (["predict-bulk", rows, "--detach"], "--detach"),
        (["predict-bulk", rows], "--output"),
        (["predict-bulk", "--dataset", "ds_1", "-o", out], "--dataset"),
        (["predict-bulk", "-o", out], "give a file"),
        (["screen", rows, "--detach"], "--detach"),
        (["fine-tune", rows, "-n", "m"], "--property"),
        (["fine-tune", "-n", "m"], "give a file"),
        (["suggest", "--dataset", "ds_1", "-m", "m"], "--dataset"),
        (["fine-tune", "--dataset", "ds_1", "-n", "m", "--server", "http://x", "--webhook-secret-file", rows], "both"),
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2 and named in done.output, (arguments, done.output)


def test_nobody_there(folder: Path) -> None:
    """Exit status 5: the same may work later."""
    url = f"http://127.0.0.1:{free_port()}"
    for arguments in (["status"], ["models", "list"], ["predict", "-c", "NaCl"], ["jobs", "show", "job_1"]):
        done = CliRunner(env={"XTALFORGE_URL": url}).invoke(app, arguments)
        assert done.exit_code == 5, done.output
        assert "does not answer" in " ".join(done.output.split())
