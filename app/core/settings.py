"""Settings of one installation, read from `XTALFORGE_*` environment variables; nonsense is refused at start."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parents[2]

# What one JSON body may list at all: more is refused before each entry is checked, on the event loop.
MAX_INPUTS_PER_REQUEST = 20_000

Device = Literal["auto", "cpu", "cuda"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LogFormat = Literal["console", "json"]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JobSettings(_Group):
    """Leases and attempts of long work."""

    lease_s: PositiveFloat = Field(default=60.0, description="A worker silent for this long loses its job.")
    heartbeat_s: PositiveFloat = Field(default=15.0, description="How often a worker renews its lease.")
    reaper_interval_s: PositiveFloat = Field(default=15.0, description="How often expired leases are looked for.")
    max_attempts: PositiveInt = Field(default=3, description="A job that lost this many workers fails.")
    cancel_poll_s: PositiveFloat = Field(default=1.0, description="How often a worker looks for a cancel request.")
    open_per_tenant: NonNegativeInt = Field(
        default=0, description="Most jobs of one tenant that wait or run; 0 = any number."
    )
    max_run_s: PositiveFloat = Field(default=86_400.0, description="An attempt that takes longer ends the job.")
    niceness: int = Field(
        default=10, ge=0, le=19, description="How far the work of jobs stands back behind requests on a machine they "
        "share: 0 not at all, 19 most.",
    )  # fmt: skip
    queues: str = Field(
        default="training,bulk",
        description="What a worker does, with commas between: `training`, `bulk` (bulk predictions and screenings).",
    )

    @field_validator("queues")
    @classmethod
    def _are_queues(cls, queues: str) -> str:
        if not _listed(queues) or not set(_listed(queues)) <= {"training", "bulk"}:
            raise ValueError(f"jobs.queues: {queues!r} must be training, bulk or both, with a comma between")
        return queues

    @property
    def served_queues(self) -> tuple[str, ...]:
        return _listed(self.queues)

    @model_validator(mode="after")
    def _lease_outlives_heartbeats(self) -> Self:
        if self.lease_s < 2 * self.heartbeat_s:
            raise ValueError(
                f"jobs.lease_s ({self.lease_s:g}) must be at least twice jobs.heartbeat_s ({self.heartbeat_s:g}): "
                "otherwise one late heartbeat takes the job from a worker that is alive"
            )
        return self


class LimitSettings(_Group):
    """Bounds on what one request may bring."""

    max_upload_bytes: PositiveInt = Field(default=200_000_000, description="Largest request body.")
    max_inputs_per_request: PositiveInt = Field(
        default=1000, le=MAX_INPUTS_PER_REQUEST, description="Most structures or compositions at once."
    )
    max_dataset_rows: PositiveInt = Field(default=100_000, description="Most rows of one data set.")
    datasets_per_tenant: NonNegativeInt = Field(default=0, description="Most data sets of a tenant; 0 = any number.")
    dataset_bytes_per_tenant: NonNegativeInt = Field(
        default=0, description="Most bytes that all data sets of a tenant take; 0 = any number."
    )
    max_archive_members: PositiveInt = Field(default=200_000, description="Most files in one zip.")
    max_inflated_bytes: PositiveInt = Field(default=2_000_000_000, description="Largest total size of an opened zip.")
    max_inflation_ratio: PositiveInt = Field(default=200, description="Largest inflated : packed ratio of a zip file.")


class InferenceSettings(_Group):
    """The engine that answers predictions, in the compute process of each API process."""

    max_models: PositiveInt = Field(default=8, description="Models held in memory; the least recently used leaves.")
    queue_size: PositiveInt = Field(default=64, description="Requests that may wait; more are answered 429.")
    queue_inputs: PositiveInt = Field(
        default=4000, description="Inputs of requests at work or waiting; one that brings more is answered 429."
    )
    threads: PositiveInt = Field(
        default=1, description="CPU threads of one forward pass; requests run side by side as it is."
    )
    pool_size: NonNegativeInt = Field(
        default=2,
        description="Processes in which an API process reads large structures and batches; 0 = none, no time limit.",
    )
    read_limit_s: PositiveFloat = Field(default=20.0, description="A structure that takes longer to read is given up.")


class BulkSettings(_Group):
    """Bulk predictions: jobs over files of any length."""

    max_upload_bytes: PositiveInt = Field(default=4_000_000_000, description="Largest file of a bulk prediction.")
    max_rows: PositiveInt = Field(default=5_000_000, description="Most rows of such a file.")
    max_inflated_bytes: PositiveInt = Field(
        default=50_000_000_000, description="Largest total size of such a zip when opened."
    )
    rows_per_tenant_and_day: NonNegativeInt = Field(
        default=0, description="Most rows that a tenant has predicted in bulk within 24 hours; 0 = any number."
    )
    processes: NonNegativeInt = Field(
        default=0, description="Processes of one bulk prediction; 0 = one for each core of the worker."
    )


class WebhookSettings(_Group):
    """Messages to other services when jobs end."""

    allow_private: bool = Field(
        default=False, description="Whether messages may go to loopback and private addresses: any user could make "
        "this service call what only it can reach.",
    )  # fmt: skip
    timeout_s: PositiveFloat = Field(default=10.0, description="The longest an attempt to deliver a message may take.")
    max_attempts: PositiveInt = Field(default=10, description="Attempts after which a message is given up.")
    first_retry_s: PositiveFloat = Field(
        default=5.0, description="From the first failure to the next attempt; each further wait is four times as long."
    )
    poll_s: PositiveFloat = Field(default=2.0, description="How often messages that are due are looked for.")
    keep_days: PositiveInt = Field(default=30, description="How long messages that ended can be read.")


class UpkeepSettings(_Group):
    """What workers clear away by themselves, as `xtalforge gc` does."""

    every_hours: NonNegativeFloat = Field(
        default=24.0, description="How often what nothing needs any more is cleared away; 0 = only by `xtalforge gc`."
    )
    audit_days: NonNegativeInt = Field(default=400, description="How long the audit log goes back; 0 = for ever.")
    event_days: NonNegativeInt = Field(
        default=400,
        description="How long after its end a job's epochs, progress and messages can be read; 0 = for ever.",
    )


class AccessSettings(_Group):
    """Who may use the service, and how much."""

    keys: Literal["auto", "required", "off"] = Field(
        default="auto",
        description="`auto`: requests need a key unless they come in on the loopback and no key was ever made; "
        "`required`: always; `off`: never, whoever reaches the service.",
    )
    cache_s: PositiveFloat = Field(
        default=5.0, description="How long a verified key is believed, hence how long a revoked one may still work."
    )
    requests_per_minute: NonNegativeInt = Field(
        default=0, description="Requests a minute with one key, unless the key has a limit of its own; 0 = any number."
    )
    failures_per_minute: PositiveInt = Field(
        default=20, description="Wrong keys a minute from one address, after which keys from there are not looked at."
    )
    trusted_hosts: str = Field(
        default="", description="Names by which clients may call the service, with commas between; empty = see Access."
    )
    cors_origins: str = Field(
        default="", description="Other sites whose pages may call the service, `https://...`, with commas between."
    )
    behind_tls: bool = Field(default=False, description="Clients come by https only: browsers are told to insist.")
    open_metrics: bool = Field(
        default=False, description="`/metrics` without a key also from elsewhere than the loopback."
    )

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: str) -> str:
        for origin in _listed(origins):
            if not re.fullmatch(r"https?://[^/*\s]+", origin):
                raise ValueError(f"access.cors_origins: {origin!r} is no origin such as https://lab.example.org")
        return origins

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset(host.lower() for host in _listed(self.trusted_hosts))

    @property
    def origins(self) -> tuple[str, ...]:
        return _listed(self.cors_origins)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


class Settings(BaseSettings):
    """Everything an administrator may set. Nested groups are written `XTALFORGE_JOBS__LEASE_S`."""

    model_config = SettingsConfigDict(
        env_prefix="XTALFORGE_", env_nested_delimiter="__", env_ignore_empty=True, extra="forbid", frozen=True,
        hide_input_in_errors=True,
    )  # fmt: skip

    data_dir: Path = Field(default=Path("data"), description="Folder of everything this installation writes.")
    database_url: str | None = Field(
        default=None, repr=False, description="SQLite or PostgreSQL URL; empty = SQLite file in `data_dir`."
    )
    broker_url: str | None = Field(
        default=None, repr=False, description="Redis or Valkey URL; empty = the one that `xtalforge up` starts."
    )
    store_url: str | None = Field(
        default=None, repr=False, description="`file:///...` or `s3://bucket/prefix`; empty = `data_dir`/store."
    )
    models_store: Path = Field(default=PROJECT_ROOT / "models_store", description="Folder of the shipped models.")
    api_key: str | None = Field(default=None, repr=False, description="Key that commands with `--server` send.")
    data_kit: Path | None = Field(
        default=None, description="Folder of the published data sets, for tests and training."
    )
    device: Device = Field(default="auto", description="Where networks run; `auto` takes CUDA where there is one.")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address the API listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port the API listens on.")
    api_workers: PositiveInt = Field(default=1, description="API processes that `xtalforge up` starts.")
    worker_metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port on `host` where a worker shows its own metrics; 0 = none."
    )
    log_level: LogLevel = Field(default="INFO", description="Least severe level that is logged.")
    log_format: LogFormat = Field(default="console", description="`console` for people, `json` for collectors.")
    tracing: bool = Field(
        default=False, description="Send traces by OTLP, as the `OTEL_*` variables say; needs the extra `otel`."
    )
    jobs: JobSettings = Field(default_factory=JobSettings, description="Leases and attempts of long work.")
    access: AccessSettings = Field(default_factory=AccessSettings, description="Who may use the service.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="Bounds on one request.")
    bulk: BulkSettings = Field(default_factory=BulkSettings, description="Predictions over files of any length.")
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings, description="Messages when jobs end.")
    upkeep: UpkeepSettings = Field(default_factory=UpkeepSettings, description="Clearing away what nothing needs.")
    inference: InferenceSettings = Field(default_factory=InferenceSettings, description="Answering predictions.")

    @field_validator("data_dir", "models_store", "data_kit")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().resolve() if path is not None else None

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str | None) -> str | None:
        if url is None:
            return None
        scheme = url.split("://", 1)[0]
        if scheme in ("postgres", "postgresql", "postgresql+psycopg"):
            return "postgresql+psycopg://" + url.split("://", 1)[1]
        if scheme != "sqlite":
            raise ValueError(f"database_url must begin with sqlite:/// or postgresql://, not with {scheme!r}")
        if url in ("sqlite://", "sqlite:///") or ":memory:" in url:
            raise ValueError("database_url must name a file: workers cannot see a SQLite database held in memory")
        return url

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "redis+socket://")):
            raise ValueError("broker_url must begin with redis://, rediss:// or redis+socket://")
        return url

    @field_validator("store_url")
    @classmethod
    def _known_store(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("file:///", "s3://")):
            raise ValueError("store_url must begin with file:/// or s3://")
        return url

    @property
    def resolved_database_url(self) -> str:
        """The database in use, as an SQLAlchemy URL."""
        return self.database_url or f"sqlite:///{self.data_dir / 'xtalforge.db'}"

    @property
    def resolved_broker_url(self) -> str:
        """The broker in use; the default is where a locally installed Redis or Valkey listens."""
        return self.broker_url or "redis://127.0.0.1:6379/0"

    @property
    def resolved_store_url(self) -> str:
        """The artifact store in use."""
        return self.store_url or (self.data_dir / "store").as_uri()
