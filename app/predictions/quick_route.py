"""The short way for the most frequent request: one well-formed JSON document with what to predict."""

from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from app.predictions.deps import directory_of
from app.predictions.front import Predictions
from app.predictions.queue import PredictionQueue
from app.predictions.routes import predict, router
from app.predictions.schemas import PredictionRequest
from app.web.deps import resources_in

_JSON = (b"content-type", b"application/json")
_THOROUGH = "xtalforge.thorough"


class QuickPredictions(BaseRoute):
    """Goes before all other routes. What is not well-formed takes the framework's way, which says what is wrong.

    The framework's layers between its router and a route take as long as all that the route itself does.
    """

    path = path_format = router.prefix

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_mine = (
            scope["path"] == self.path
            and scope.get("method") == "POST"
            and not scope["query_string"]
            and _JSON in scope["headers"]
            and _THOROUGH not in scope
        )
        return (Match.FULL, {"route": self}) if is_mine else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        body = await request.body()
        try:
            asked = PredictionRequest.model_validate_json(body)
        except ValidationError:
            scope[_THOROUGH] = True
            await scope["router"].app(scope, _again(body, receive), send)
            return
        get = resources_in(scope).get
        response = await predict(asked, get(Predictions), directory_of(request), get(PredictionQueue))
        await response(scope, receive, send)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was received already, then what comes after it."""
    messages: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
