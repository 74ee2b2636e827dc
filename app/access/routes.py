"""What the key that a client sends stands for."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.access.models import ApiKey
from app.core.principal import KeyScope
from app.web.deps import PrincipalDep, SessionDep, SettingsDep
from app.web.problems import problem_responses

router = APIRouter(prefix="/v1/access", tags=["access"])


class AccessRead(BaseModel):
    """Who the service takes the client for."""

    tenant: str = Field(description="Whose data, models and jobs the client sees.", examples=["default"])
    scopes: list[KeyScope] = Field(description="What it may do; `admin` includes the others.")
    is_operator: bool = Field(description="Whether it may change shared models, too.", examples=[False])
    key_id: str | None = Field(
        description="`id` of the key; null = the service needs none from here.", examples=["key_7f3a9c1e"]
    )
    key_name: str = Field(description="What the key is called.", examples=["notebook"])
    key_expires_at: datetime | None = Field(description="When the key ends; null = never.", examples=[None])
    requests_per_minute: int | None = Field(description="Most requests a minute; null = any number.", examples=[600])


@router.get("", responses=problem_responses(), summary="What your key allows")
def get_access(principal: PrincipalDep, session: SessionDep, settings: SettingsDep) -> AccessRead:
    """Any key may ask. Without one, and where none is needed, it tells what everybody may do."""
    key = session.get(ApiKey, principal.key_id) if principal.key_id is not None else None
    most = principal.requests_per_minute or settings.access.requests_per_minute
    return AccessRead(
        tenant=principal.tenant,
        scopes=sorted(principal.scopes),
        is_operator=principal.is_operator,
        key_id=principal.key_id,
        key_name=principal.name,
        key_expires_at=key.expires_at if key is not None else None,
        requests_per_minute=(most or None) if key is not None else None,
    )
