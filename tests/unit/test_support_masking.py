"""What a support bundle leaves out, rule by rule."""

import base64
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ttlock_agent.config.locks import LockConfig
from ttlock_agent.config.structs import AgentConfig, CloudConfig, Config, MqttConfig
from ttlock_agent.config.values import LockAddress, SecretRef, SecretSource
from ttlock_agent.support.machine import last_log_entries, system, versions
from ttlock_agent.support.masking import (
    Masker,
    log_entry,
    masked_config,
    scrub,
    secrets_in,
    tail,
)
from virtual_helpers import KEYS

ZONE = ZoneInfo("Europe/Berlin")
SECRET = SecretRef(SecretSource.FILE, "/home/anna/password.txt", Path("/etc"))


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("agent_ready", "agent_ready"),
        ("2026-12-01T14:03:11+00:00 connected", "2026-12-01T14:03:11+00:00 connected"),
        ("lock AA:BB:CC:11:22:33 lost", "lock ..:22:33 lost"),
        ("the id 'booking anna' was used", "the id *** was used"),
        ("mail anna@example.org, please", "mail *** please"),
        ("no route to 192.168.1.17", "no route to ***"),
        ("cannot read /home/anna/keys.json: no", "cannot read ***: no"),
        ("typed 482913 at the door", "typed *** at the door"),
        ("key a1b2c3d4e5f60718293a4b5c6d7e8f90", "key ***"),
        ("token q2F0IHNhdCBvbiB0aGUgbWF0Pw==", "token ***"),
        ("3 of 10 jobs in 12 s", "3 of 10 jobs in 12 s"),
        ("2026-12-01T14:03:11Z 1234", "2026-12-01T14:03:11Z ***"),
    ],
)
def test_texts_from_elsewhere_are_scrubbed(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


def test_of_an_address_only_the_end_is_shown() -> None:
    assert tail("AA:BB:CC:11:22:33") == "..:22:33"
    assert tail("virtual:/home/anna/lock.sock") == "virtual:***"
    assert tail("nonsense 482913") == "***"


def test_of_the_configuration_only_what_is_known_to_be_harmless_is_shown() -> None:
    config = Config(
        agent=AgentConfig(id="house-12", state_directory=Path("/home/anna/state")),
        mqtt=MqttConfig(host="annas-broker", username="anna", password=SECRET),
        cloud=CloudConfig(
            client_id="annaclient", client_secret=SECRET, username="anna@example.org",
            password_md5=SECRET,
        ),
        locks=(
            LockConfig(
                id="front-door", address=LockAddress("AA:BB:CC:11:22:33"), time_zone=ZONE,
                name="Anna's flat", keys=SECRET, cloud_lock_id=1000001, adapter="hci1",
            ),
        ),
    )  # fmt: skip
    shown: dict[str, Any] = masked_config(config)
    assert "anna" not in repr(shown).lower()
    assert "1000001" not in repr(shown)
    assert shown["agent"]["id"] == "house-12"
    assert shown["mqtt"]["port"] == 1883
    assert shown["mqtt"]["password"] == "file:***"
    (lock,) = shown["locks"]
    assert (lock["address"], lock["time_zone"], lock["adapter"]) == ("..:22:33", ZONE.key, "hci1")
    assert lock["unknown_passcodes"] == "keep"


@pytest.mark.parametrize(
    "form",
    [
        "482913",
        b"482913".hex(),
        base64.b64encode(b"482913").decode(),
        f"{482913:x}",
        KEYS.aes_key.hex(),
        KEYS.aes_key.hex().upper(),
        KEYS.aes_key.hex(":"),
        base64.b64encode(KEYS.aes_key).decode(),
        str(KEYS.admin_secret),
        f"{KEYS.unlock_key:x}",
    ],
)
def test_known_secrets_are_masked_in_every_form(form: str) -> None:
    masker = Masker(["482913", *secrets_in(KEYS)])
    told = {"a": [f"x {form} y"], "c": {"b": form}}
    assert form not in repr(masker.mask(told))


def test_known_secrets_are_masked_as_numbers_too() -> None:
    masker = Masker(["482913"])
    assert masker.mask([482913, 4829130, 482913.5, True, None, 7]) == [
        "***", 4829130, "***", True, None, 7,
    ]  # fmt: skip


def test_the_machine_is_described_wherever_the_agent_runs(tmp_path: Path) -> None:
    assert "msgspec" in versions()["packages"]
    assert "pytest" not in versions()["packages"], "extras are none of the agent's needs"
    seen = system(tmp_path / "not there")
    assert seen["kernel"].startswith("Linux ")
    assert seen["disk_free_mib"] is None


def test_of_the_systems_log_the_agents_fields_are_used_not_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [
        {"__REALTIME_TIMESTAMP": "1796133791000000", "_HOSTNAME": "annas-pi",
         "MESSAGE": "job_accepted lock=door label=Anna", "TTL_EVENT": "job_accepted",
         "TTL_LOCK": "door", "TTL_LABEL": "Anna", "TTL_CODE": "none"},
        {"__REALTIME_TIMESTAMP": "1796133792000000", "_HOSTNAME": "annas-pi",
         "MESSAGE": 'failed: "Anna" 482913'},
    ]  # fmt: skip
    said = "\n".join(json.dumps(each) for each in records)
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert last_log_entries() == [
        {"timestamp": "2026-12-01T14:03:11+00:00", "event": "job_accepted", "lock": "door",
         "code": "none"},
        {"timestamp": "2026-12-01T14:03:12+00:00", "event": "failed: *** ***"},
    ]  # fmt: skip
    program.write_text("#!/bin/sh\nexit 1\n")
    assert last_log_entries() is None


def test_of_the_log_only_fields_that_say_nothing_about_people_are_shown() -> None:
    entry = {"timestamp": "t", "level": "info", "event": "Mail to anna@example.org", "lock": "door",
             "label": "Anna", "request": "booking-anna", "error": None, "topic": "anna/x",
             "reason": "The id 'anna' was used."}  # fmt: skip
    assert log_entry(entry) == {
        "timestamp": "t", "level": "info", "lock": "door", "event": "Mail to ***",
        "reason": "The id *** was used.",
    }  # fmt: skip
