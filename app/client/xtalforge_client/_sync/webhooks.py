# Written by app/client/generate.py: edit _async/webhooks.py instead.
"""Addresses that the server calls when a job has ended."""

from collections.abc import Iterator, Sequence
from typing import Any

from xtalforge_client._sync.jobs import all_pages
from xtalforge_client._sync.transport import Transport
from xtalforge_client.calls import Call, body_of
from xtalforge_client.models import DeliveryRead, WebhookCreate, WebhookCreated, WebhookRead

_PATH = "/v1/webhooks"
_ONE = _PATH + "/{webhook_id}"


class Webhooks:
    """Registered addresses, and what was delivered to them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, url: str, *, events: Sequence[str] | None = None, **further: Any) -> WebhookCreated:
        """Register an address. The answer holds the secret that signs deliveries, which is never shown again."""
        fields = {"url": url, **({} if events is None else {"events": list(events)}), **further}
        body = body_of(WebhookCreate.model_validate(fields))
        return self._transport.ask(Call("POST", _PATH, json=body, is_repeatable=False), WebhookCreated)

    def list(self) -> Iterator[WebhookRead]:
        for item in all_pages(self._transport, Call("GET", _PATH)):
            yield WebhookRead.model_validate(item)

    def get(self, webhook_id: str) -> WebhookRead:
        return self._transport.ask(Call("GET", _ONE, {"webhook_id": webhook_id}), WebhookRead)

    def delete(self, webhook_id: str) -> None:
        self._transport.send(Call("DELETE", _ONE, {"webhook_id": webhook_id}, is_repeatable=False))

    def test(self, webhook_id: str) -> DeliveryRead:
        """Have a test event delivered."""
        call = Call("POST", _ONE + "/test", {"webhook_id": webhook_id}, is_repeatable=False)
        return self._transport.ask(call, DeliveryRead)

    def deliveries(
        self, *, webhook_id: str | None = None, job_id: str | None = None, status: Sequence[str] | None = None
    ) -> Iterator[DeliveryRead]:
        """What was sent, or is to be, newest first."""
        params = {"webhook_id": webhook_id, "job_id": job_id, "status": status}
        for item in all_pages(self._transport, Call("GET", _PATH + "/deliveries", params=params)):
            yield DeliveryRead.model_validate(item)

    def retry(self, delivery_id: str) -> DeliveryRead:
        """Send a delivery once more."""
        path = _PATH + "/deliveries/{delivery_id}/retry"
        return self._transport.ask(Call("POST", path, {"delivery_id": delivery_id}, is_repeatable=False), DeliveryRead)
