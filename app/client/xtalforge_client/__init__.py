"""Python client of an Xtalforge server.

from xtalforge_client import Client

with Client("http://127.0.0.1:8000") as client:
    answer = client.predict(["SrTiO3", pathlib.Path("NaCl.cif")])
"""

from xtalforge_client._async.client import AsyncClient
from xtalforge_client._sync.client import Client
from xtalforge_client.errors import (
    Busy,
    Conflict,
    InputsFailed,
    JobFailed,
    JobTimeout,
    NotFound,
    Refused,
    ServerError,
    ServerUnreachable,
    UnexpectedAnswer,
    UnusableInput,
    XtalforgeClientError,
)
from xtalforge_client.frames import to_frame
from xtalforge_client.retry import RetryPolicy

__all__ = [
    "AsyncClient", "Busy", "Client", "Conflict", "InputsFailed", "JobFailed", "JobTimeout", "NotFound", "Refused",
    "RetryPolicy", "ServerError", "ServerUnreachable", "UnexpectedAnswer", "UnusableInput", "XtalforgeClientError",
    "to_frame",
]  # fmt: skip
