"""`xtalforge webhooks`: who is told when jobs end."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from app.cli.api import api
from app.cli.installation import DataDirOption
from app.cli.output import JsonOption, ServerOption, print_json, print_record, print_records, stderr
from app.cli.server import Server
from app.webhooks.kinds import DeliveryStatus, WebhookEvent

PATH = "/v1/webhooks"

app = typer.Typer(no_args_is_help=True, help="Who is told when jobs end.")

WebhookArgument = Annotated[str, typer.Argument(help="Id of the webhook, wh_...")]

_COLUMNS = {"id": "id", "url": "url", "events": "events", "description": "description", "disabled_reason": "disabled"}
_DELIVERIES = {
    "id": "message", "event": "event", "job_id": "job", "webhook_id": "webhook", "status": "status",
    "attempts": "attempts#", "next_attempt_at": "next attempt", "created_at": "made",
}  # fmt: skip


def _api(server: str | None, data_dir: Path | None) -> AbstractContextManager[Server]:
    return api(server, data_dir, "app.webhooks.routes")


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where messages are posted, https://...")],
    event: Annotated[
        list[WebhookEvent] | None, typer.Option(help="What to tell of; repeatable. [default: every end of a job]")
    ] = None,
    description: Annotated[str, typer.Option(help="Your own words.")] = "",
    secret_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A file with a secret of yours, whsec_...; else one is made."),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Tell URL when jobs end. The secret that signs the messages is shown this once."""
    body: dict[str, object] = {"url": url, "description": description}
    if event:
        body["events"] = [each.value for each in event]
    if secret_file is not None:
        body["secret"] = secret_file.read_text().strip()
    with _api(server, data_dir) as service:
        created = service.send("POST", PATH, body)
    if as_json:
        print_json(created)
        return
    typer.echo(f"{created['id']}\n{created['secret']}")
    stderr.print("The second line is the secret; keep it now, it is not shown again.", highlight=False)


@app.command("list")
def list_webhooks(as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None) -> None:
    """List the webhooks, without their secrets."""
    with _api(server, data_dir) as service:
        print_records(service.items(PATH), _COLUMNS, as_json=as_json)


@app.command()
def show(
    webhook: WebhookArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Show a webhook."""
    with _api(server, data_dir) as service:
        print_record(service.get(f"{PATH}/{webhook}"), as_json=as_json)


@app.command()
def delete(
    webhook: WebhookArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Delete a webhook with its messages."""
    with _api(server, data_dir) as service:
        service.send("DELETE", f"{PATH}/{webhook}")
    print_record({"deleted": webhook}, as_json=as_json)


@app.command("test")
def send_test(
    webhook: WebhookArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Send a test message, which the running service does within seconds; see `deliveries`."""
    with _api(server, data_dir) as service:
        print_record(service.send("POST", f"{PATH}/{webhook}/test"), as_json=as_json)


@app.command()
def deliveries(
    webhook: Annotated[str | None, typer.Option(help="Only to this webhook.")] = None,
    job: Annotated[str | None, typer.Option(help="Only of this job.")] = None,
    status: Annotated[DeliveryStatus | None, typer.Option(help="Only those in this state.")] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List the messages and what came of them, newest first; with --json each attempt."""
    wanted = {"webhook_id": webhook, "job_id": job, "status": status.value if status else None}
    with _api(server, data_dir) as service:
        print_records(service.items(f"{PATH}/deliveries", **wanted), _DELIVERIES, as_json=as_json)


@app.command()
def retry(
    message: Annotated[str, typer.Argument(help="Id of the message, msg_...")],
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Send a message again now."""
    with _api(server, data_dir) as service:
        print_record(service.send("POST", f"{PATH}/deliveries/{message}/retry"), as_json=as_json)
