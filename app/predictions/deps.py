"""The models that whoever asks may see, handed to routes."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from app.predictions.directory import ModelDirectory, TenantDirectory
from app.web.deps import principal_of, resources_of


def directory_of(connection: HTTPConnection) -> TenantDirectory:
    return resources_of(connection).get(ModelDirectory).of(principal_of(connection).tenant_scope)


async def _directory(connection: HTTPConnection) -> TenantDirectory:
    return directory_of(connection)


DirectoryDep = Annotated[TenantDirectory, Depends(_directory)]
