"""How an upload names where the end of its job is announced."""

from typing import Annotated

from fastapi import Depends, Form
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.webhooks.addresses import MAX_URL_LENGTH
from app.webhooks.schemas import WebhookTarget


def _webhook_fields(
    webhook_url: Annotated[
        str | None,
        Form(max_length=MAX_URL_LENGTH, description="Where the end of this job is announced, `https://...`."),
    ] = None,
    webhook_secret: Annotated[
        str | None, Form(description="With it the message is signed: `whsec_` and 24 to 64 random bytes in base64.")
    ] = None,
) -> WebhookTarget | None:
    if webhook_url is None and webhook_secret is None:
        return None
    try:
        return WebhookTarget.model_validate({"url": webhook_url, "secret": webhook_secret})
    except ValidationError as error:
        # Nothing of what was given is repeated: it may be a secret.
        told = error.errors(include_input=False, include_context=False)
        raise RequestValidationError([{**e, "loc": ("body", f"webhook_{e['loc'][0]}")} for e in told]) from None


WebhookFields = Annotated[WebhookTarget | None, Depends(_webhook_fields)]
