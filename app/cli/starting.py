"""Options of the commands that start jobs on a server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

DetachOption = Annotated[
    bool, typer.Option("--detach", help="Start the job on the server and print it; go on with `xtalforge jobs`.")
]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", metavar="ID", help="Rows of a stored data set, ds_..., instead of a file.")
]
WebhookOption = Annotated[
    str | None, typer.Option("--webhook", metavar="URL", help="Where the server tells that the job has ended.")
]
WebhookSecretOption = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="A file with a secret, whsec_..., that signs what --webhook gets."),
]


@dataclass(frozen=True, slots=True)
class Started:
    """What is said of a job when it is started, beside what it is to do."""

    server: str | None
    webhook: str | None = None
    secret_file: Path | None = None
    is_detached: bool = False

    def __post_init__(self) -> None:
        if self.secret_file is not None and self.webhook is None:
            raise typer.BadParameter("it signs what --webhook gets: give both", param_hint="--webhook-secret-file")
        for given, option in ((self.webhook is not None, "--webhook"), (self.is_detached, "--detach")):
            if given and self.server is None:
                raise typer.BadParameter("only a running service does that: give --server", param_hint=option)

    def as_json(self) -> dict[str, Any]:
        """The field of a request in JSON."""
        return {"webhook": {"url": self.webhook, "secret": self._secret()}} if self.webhook is not None else {}

    def as_form(self) -> dict[str, Any]:
        """The fields of an upload."""
        return {"webhook_url": self.webhook, "webhook_secret": self._secret()} if self.webhook is not None else {}

    def _secret(self) -> str | None:
        return self.secret_file.read_text().strip() if self.secret_file is not None else None
