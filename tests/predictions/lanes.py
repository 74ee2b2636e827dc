"""A lane in a thread of this process, asked over a socket as the API asks it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from threading import Thread

from app.predictions.compute_client import LaneClient
from app.predictions.compute_messages import LaneRequestReader
from app.predictions.lane import PredictionLane
from app.predictions.lane_reader import LaneReader
from app.predictions.service import PredictionService


@asynccontextmanager
async def running_lane(service: PredictionService, readers: Sequence[LaneReader] = ()) -> AsyncIterator[LaneClient]:
    ours, theirs = socket.socketpair()
    lane = PredictionLane(service, theirs, LaneRequestReader().open, lambda: None, readers)
    thread = Thread(target=lane.serve)
    thread.start()
    client = LaneClient(lambda: None)
    transport, _ = await asyncio.get_running_loop().create_unix_connection(lambda: client, sock=ours)
    yield client
    transport.close()
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive() and not lane._open
