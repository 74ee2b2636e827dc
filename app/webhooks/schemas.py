"""Bodies of the webhook calls, and how a job names its own receiver."""

import hashlib
import json
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from app.webhooks.addresses import MAX_URL_LENGTH, checked_url
from app.webhooks.kinds import JOB_EVENTS, DeliveryStatus, WebhookEvent
from app.webhooks.signing import secret_bytes

URL_DESCRIPTION = "Where messages are sent by POST. Its addresses must be public, unless the service allows others."
ABOUT_SECRETS = (
    "`whsec_` and then 24 to 64 random bytes in base64. With it messages are signed as Standard Webhooks says; it is "
    "never shown again."
)


def _checked_secret(value: object) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        raise ValueError("A secret is a text.")
    secret_bytes(text)
    return text


WebhookUrl = Annotated[
    str,
    AfterValidator(checked_url),
    Field(max_length=MAX_URL_LENGTH, description=URL_DESCRIPTION, examples=["https://lab.example.org/hooks/xtalforge"]),
]
WebhookSecret = Annotated[SecretStr, BeforeValidator(_checked_secret, json_schema_input_type=str)]


class WebhookTarget(BaseModel):
    """Where a single job announces its end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: WebhookUrl
    secret: WebhookSecret | None = Field(
        default=None,
        description=f"{ABOUT_SECRETS} Without one the messages of this job are not signed.",
        examples=[None],
    )


def with_webhook(request_sha256: str, webhook: WebhookTarget | None) -> str:
    """What a request for a job goes by once it names a receiver: another receiver or secret is another request."""
    if webhook is None:
        return request_sha256
    secret = webhook.secret.get_secret_value() if webhook.secret is not None else None
    return hashlib.sha256(json.dumps([request_sha256, webhook.url, secret]).encode()).hexdigest()


class WebhookCreate(BaseModel):
    """A receiver of the ends of all jobs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"url": "https://lab.example.org/hooks/xtalforge", "events": ["job.succeeded", "job.failed"]}]
        },
    )

    url: WebhookUrl
    events: list[WebhookEvent] = Field(
        default=list(JOB_EVENTS), min_length=1, max_length=len(WebhookEvent), description="What to tell of; all ends "
        "of jobs by default.",
    )  # fmt: skip
    secret: WebhookSecret | None = Field(
        default=None, description=f"{ABOUT_SECRETS} Left out: one is made.", examples=[None]
    )
    description: str = Field(default="", max_length=500, description="Your own words.", examples=["The group's chat"])


class WebhookRead(BaseModel):
    """A receiver."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["wh_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"], description="Names it in every other call.")
    url: str = Field(description=URL_DESCRIPTION, examples=["https://lab.example.org/hooks/xtalforge"])
    events: list[WebhookEvent] = Field(description="What it is told of.")
    description: str = Field(description="Your own words.", examples=["our pipeline"])
    created_at: datetime = Field(description="When it was made, UTC.", examples=["2026-11-21T16:40:12Z"])
    disabled_at: datetime | None = Field(
        description="Since when nothing is sent; null = messages are sent.", examples=[None]
    )
    disabled_reason: str | None = Field(description="Why nothing is sent.", examples=[None])


class WebhookCreated(WebhookRead):
    """A new receiver, with its secret, which no other answer shows."""

    secret: str = Field(
        description="Check the signatures with it; keep it now, it is not shown again.", examples=["whsec_..."]
    )


class WebhookAttempt(BaseModel):
    """One attempt to deliver a message."""

    attempt: int = Field(description="Counts from 1; one is missing where the sender was killed.", examples=[1])
    at: datetime = Field(description="When it was sent, UTC.", examples=["2026-11-21T16:40:12Z"])
    status_code: int | None = Field(description="What the receiver answered; null = it did not.", examples=[200])
    error: str | None = Field(description="Why it counts as failed; null = the message was taken.", examples=[None])
    seconds: float = Field(description="How long it took.", examples=[0.12])


class DeliveryRead(BaseModel):
    """A message to one receiver, and what came of it."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(
        description="In the header `webhook-id`, the same at every attempt.",
        examples=["msg_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"],
    )
    webhook_id: str = Field(
        validation_alias="endpoint_id",
        examples=["wh_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"],
        description="The webhook; null: the address was given with the job.",
    )
    job_id: str | None = Field(
        description="The job it tells of; null for a test.", examples=["job_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"]
    )
    event: WebhookEvent = Field(description="What it tells of.")
    status: DeliveryStatus = Field(description="`failed`: given up after all attempts.")
    attempts: int = Field(description="Attempts begun.", examples=[1])
    next_attempt_at: datetime | None = Field(
        description="null = there will be none.", examples=["2026-11-21T16:40:12Z"]
    )
    created_at: datetime = Field(description="When it was made, UTC.", examples=["2026-11-21T16:40:12Z"])
    ended_at: datetime | None = Field(description="When it was taken or given up.", examples=[None])
    body: str = Field(description="What was or will be sent, to the byte.", examples=['{"type": "job.succeeded"}'])
    log: list[WebhookAttempt] = Field(description="The attempts, oldest first.")
