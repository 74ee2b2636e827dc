"""More requests at once than there are threads and connections."""

import asyncio

import httpx
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from app.jobs.models import Job
from app.web.deps import Resources, SessionDep
from tests.api import AsOperator

N_REQUESTS = 200
WITHIN_S = 20.0
"""Less than the 30 s after which one that waits for a connection is given up."""


def test_requests_that_wait_for_a_thread_do_not_keep_others_from_connections(sessions: sessionmaker[Session]) -> None:
    app = FastAPI()
    app.add_middleware(AsOperator)
    app.state.resources = resources = Resources()
    resources.add(sessionmaker, sessions)

    @app.get("/")
    def read(session: SessionDep) -> int:
        return session.scalars(select(func.count()).select_from(Job)).one()

    async def ask_all() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answers = await asyncio.gather(*(client.get("/") for _ in range(N_REQUESTS)))
        return [answer.status_code for answer in answers]

    statuses = asyncio.run(asyncio.wait_for(ask_all(), WITHIN_S))
    assert statuses == [200] * N_REQUESTS
