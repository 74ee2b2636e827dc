"""The threads of every API process that send what the outbox holds."""

import threading
import time

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.logging import get_logger
from app.core.settings import WebhookSettings
from app.webhooks.outbox import Claimed, Outbox
from app.webhooks.sending import send
from app.webhooks.signing import signed_headers

THREADS = 3
FORGET_EVERY_S = 3600.0

log = get_logger(__name__)


class Deliverer:
    """Daemon threads: one that waits for a slow receiver holds up neither jobs, requests nor the end of the process."""

    def __init__(self, factory: sessionmaker[Session], settings: WebhookSettings) -> None:
        """`factory` makes sessions of every tenant."""
        self._factory = factory
        self._settings = settings
        self._stop = threading.Event()
        self._next_forgetting = time.monotonic()

    def start(self) -> None:
        for number in range(THREADS):
            threading.Thread(target=self._loop, name=f"webhooks-{number}", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def deliver_next(self) -> bool:
        """Send one message that is due; False when there is none."""
        claimed = self._claim()
        if claimed is None:
            return False
        secret = claimed.secret.get_secret_value() if claimed.secret is not None else None
        headers = signed_headers(claimed.id, int(time.time()), claimed.body, secret)
        outcome = send(claimed.url, headers, claimed.body, self._settings)
        with open_session(self._factory) as session:
            Outbox(session, self._settings).record(claimed, outcome)
        # Neither the URL, which may hold a token, nor what is in it.
        log.info(
            "webhook delivered" if outcome.error is None else "webhook not delivered", delivery_id=claimed.id,
            webhook_id=claimed.endpoint_id, attempt=claimed.attempt, status_code=outcome.status_code,
            seconds=outcome.seconds,
        )  # fmt: skip
        return True

    def _claim(self) -> Claimed | None:
        with open_session(self._factory, read_only=True) as session:
            due = Outbox(session, self._settings).due()
        for delivery_id in due:
            with open_session(self._factory) as session:
                claimed = Outbox(session, self._settings).claim(delivery_id)
            if claimed is not None:
                return claimed
        return None

    def _loop(self) -> None:
        while not self._stop.wait(self._settings.poll_s):
            try:
                while not self._stop.is_set() and self.deliver_next():
                    pass
                self._forget_old()
            except SQLAlchemyError as error:  # the database may be away for a while; the next round counts
                log.warning("webhook round failed", reason=str(error))
            except Exception:
                log.exception("webhook round failed")

    def _forget_old(self) -> None:
        if time.monotonic() < self._next_forgetting:
            return
        self._next_forgetting = time.monotonic() + FORGET_EVERY_S
        with open_session(self._factory) as session:
            Outbox(session, self._settings).forget_old()
