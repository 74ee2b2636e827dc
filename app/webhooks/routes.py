"""The calls under /v1/webhooks."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from app.core.errors import (
    DeliveryEnded,
    DeliveryNotFound,
    QuotaExceeded,
    WebhookDisabled,
    WebhookNotFound,
    WebhookRefused,
)
from app.web.deps import SessionDep, SettingsDep
from app.web.pagination import Page, PageCursor, PageLimit
from app.web.problems import problem_responses
from app.webhooks.kinds import DeliveryStatus
from app.webhooks.schemas import DeliveryRead, WebhookCreate, WebhookCreated, WebhookRead
from app.webhooks.service import WebhookService

ID_PATTERN = r"^[A-Za-z0-9_-]+$"

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

WebhookId = Annotated[
    str,
    Path(
        pattern=ID_PATTERN,
        max_length=255,
        description="`id` of the webhook.",
        examples=["wh_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"],
    ),
]
DeliveryId = Annotated[
    str,
    Path(
        pattern=ID_PATTERN,
        max_length=255,
        description="`id` of the message.",
        examples=["msg_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"],
    ),
]


def _service(session: SessionDep, settings: SettingsDep) -> WebhookService:
    return WebhookService(session, settings.webhooks)


ServiceDep = Annotated[WebhookService, Depends(_service)]


@router.post(
    "", status_code=201, summary="Be told when jobs end", responses=problem_responses(WebhookRefused, QuotaExceeded)
)
def create_webhook(body: WebhookCreate, service: ServiceDep, response: Response) -> WebhookCreated:
    """From now on the end of each job is posted to `url` as JSON, signed as Standard Webhooks says: headers
    `webhook-id` (the same at every attempt), `webhook-timestamp` and `webhook-signature`, `v1,` and the HMAC-SHA256
    of `{id}.{timestamp}.{body}` in base64. Any 2xx answer takes the message; else it comes again, after 5 s at first,
    later after hours, ten times in all. The secret is shown in this answer only."""
    created = service.create(body)
    response.headers["Location"] = f"{router.prefix}/{created.id}"
    return created


@router.get("", responses=problem_responses(), summary="Webhooks")
def list_webhooks(service: ServiceDep) -> Page[WebhookRead]:
    """All of them, oldest first. Those that single jobs named for themselves are not listed."""
    return Page(items=service.all(), next=None)


@router.get("/deliveries", responses=problem_responses(), summary="Messages, and what came of them")
def list_deliveries(
    service: ServiceDep,
    webhook_id: Annotated[
        str | None, Query(pattern=ID_PATTERN, max_length=255, description="To this one only.")
    ] = None,
    job_id: Annotated[str | None, Query(pattern=ID_PATTERN, max_length=255, description="Of this job only.")] = None,
    status: Annotated[DeliveryStatus | None, Query(description="Only those in this state.")] = None,
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[DeliveryRead]:
    """Newest first, with each attempt. Kept for 30 days unless the service is set otherwise."""
    items, following = service.deliveries(webhook_id, job_id, status, cursor, limit)
    return Page(items=items, next=following)


@router.post(
    "/deliveries/{delivery_id}/retry",
    status_code=202,
    responses=problem_responses(DeliveryNotFound, DeliveryEnded, WebhookDisabled),
    summary="Send a message again now",
)
def retry_delivery(delivery_id: DeliveryId, service: ServiceDep) -> DeliveryRead:
    """One that was given up, or that waits for its next attempt."""
    return service.retry(delivery_id)


@router.get("/{webhook_id}", responses=problem_responses(WebhookNotFound), summary="One webhook")
def get_webhook(webhook_id: WebhookId, service: ServiceDep) -> WebhookRead:
    """Where it leads and what it is told of; never its secret."""
    return service.get(webhook_id)


@router.delete(
    "/{webhook_id}", status_code=204, responses=problem_responses(WebhookNotFound), summary="Delete a webhook"
)
def delete_webhook(webhook_id: WebhookId, service: ServiceDep) -> None:
    """With its messages; what has not been delivered is not sent any more."""
    service.delete(webhook_id)


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    responses=problem_responses(WebhookNotFound, WebhookDisabled),
    summary="Send a test",
)
def test_webhook(webhook_id: WebhookId, service: ServiceDep) -> DeliveryRead:
    """A message of type `webhook.test` goes out within seconds; `GET /v1/webhooks/deliveries` tells what came of it."""
    return service.test(webhook_id)
