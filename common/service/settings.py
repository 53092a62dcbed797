"""What of a service can be set, and by which environment variable."""

from typing import Annotated, Self, TypeVar

from pydantic import Field, PositiveInt, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.errors import UserError
from common.inference.batch import available_cores

PREFIX = "SERVICE_"
Settings = TypeVar("Settings", bound="ServiceSettings")

# More than these nobody means, and no machine or clock has.
Threads = Annotated[int, Field(ge=1, le=1024)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
WholeSeconds = Annotated[int, Field(ge=1, le=86_400)]


class ServiceSettings(BaseSettings):
    """Limits of a service; each is read from the environment, e.g. SERVICE_MAX_BODY_BYTES."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    token: SecretStr | None = Field(default=None, min_length=1)
    """Bearer token that /metrics and all of /v1 but /v1/example ask for; none: open to everyone."""
    max_body_bytes: PositiveInt = 32 * 2**20
    """Of one request; more is refused with 413."""
    max_items: PositiveInt = 32
    """In one request; more is refused with 413."""
    max_held_bytes: PositiveInt = 256 * 2**20
    """Of all bodies held at one time; more is refused with 503."""
    max_connections: PositiveInt = 800
    """Open at one time, below the 1,024 files a process may usually open; more are answered 503 and closed."""
    queue_size: PositiveInt = 256
    """Items waiting for a worker; a request that does not fit is refused with 503."""
    max_batch: PositiveInt = 8
    """Items in one call of the model."""
    n_workers: Threads = Field(default_factory=lambda: available_cores() + 1)
    """Threads that decode and compute: one more than cores, for one often waits for Python's lock or the next batch."""
    header_timeout_s: Seconds = 10
    """For a request's line and headers, from the first byte of a connection."""
    body_timeout_s: Seconds = 30
    """For a request's body; slower is cut with 408."""
    deadline_s: Seconds = 10
    """From the last byte of the body to the answer; later is 504."""
    keep_alive_s: WholeSeconds = 30
    """An idle connection is closed after this."""
    shutdown_timeout_s: WholeSeconds = 7
    """After SIGTERM, for the requests already taken; those still unfinished get 503."""

    @model_validator(mode="after")
    def _one_request_fits(self) -> Self:
        if self.queue_size < self.max_items:
            raise ValueError(f"queue_size {self.queue_size} is less than max_items {self.max_items}: raise it")
        if self.max_held_bytes < self.max_body_bytes:
            raise ValueError(f"max_held_bytes {self.max_held_bytes} is less than max_body_bytes: raise it")
        return self


def read_settings(kind: type[Settings]) -> Settings:
    """Read settings from the environment.

    Raises:
        UserError: a variable has a value that cannot be meant.
    """
    try:
        return kind()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "".join(PREFIX + str(part).upper() for part in first["loc"][:1]) or f"{PREFIX}*"
        raise UserError(f"environment variable {name}: {first['msg']}") from error
