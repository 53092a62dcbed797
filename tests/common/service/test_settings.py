"""What the environment may say."""

import pytest

from common.errors import UserError
from common.service.settings import ServiceSettings, read_settings


def test_the_environment_sets_every_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVICE_MAX_BODY_BYTES", "1000")
    monkeypatch.setenv("SERVICE_DEADLINE_S", "0.5")
    monkeypatch.setenv("SERVICE_TOKEN", "sesame")
    settings = read_settings(ServiceSettings)
    assert (settings.max_body_bytes, settings.deadline_s) == (1000, 0.5)
    assert settings.token is not None
    assert settings.token.get_secret_value() == "sesame"
    assert "sesame" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SERVICE_QUEUE_SIZE", "many", "SERVICE_QUEUE_SIZE"),
        ("SERVICE_QUEUE_SIZE", "0", "SERVICE_QUEUE_SIZE"),
        ("SERVICE_QUEUE_SIZE", "31", "less than max_items"),
        ("SERVICE_MAX_HELD_BYTES", "1", "less than max_body_bytes"),
        ("SERVICE_TOKEN", "", "SERVICE_TOKEN"),
        ("SERVICE_N_WORKERS", "99999999", "SERVICE_N_WORKERS"),
        ("SERVICE_SHUTDOWN_TIMEOUT_S", "99999999999", "SERVICE_SHUTDOWN_TIMEOUT_S"),
        ("SERVICE_DEADLINE_S", "inf", "SERVICE_DEADLINE_S"),
    ],
)
def test_nonsense_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=words):
        read_settings(ServiceSettings)
