"""The config file: what is read from a good one, and what is said about a bad one."""

from __future__ import annotations

import re
import stat
import zoneinfo
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ttlock_agent.config import (
    BluetoothConfig,
    Config,
    Finding,
    InvalidConfig,
    LockAddress,
    SecretRef,
    Severity,
    check_config,
    load_config,
)
from ttlock_agent.config.schema import config_schema
from ttlock_agent.errors import EX_CONFIG, ConfigError
from ttlock_agent.logs import LogLevel

SOURCE = Path(__file__).parents[2] / "config"

GOOD = """\
agent:
  id: house-12
mqtt:
  host: localhost
locks:
  - id: front-door
    address: "AA:BB:CC:DD:EE:FF"
    time_zone: Europe/Berlin
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for the config file, in an environment without systemd."""
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(directory: Path, text: str | bytes) -> Path:
    file = directory / "agent.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def secret_file(directory: Path, name: str, text: str, mode: int = 0o400) -> Path:
    file = directory / name
    file.write_text(text)
    file.chmod(mode)
    return file


def findings_of(directory: Path, text: str | bytes) -> list[Finding]:
    return check_config(write(directory, text))


def only_finding(directory: Path, text: str | bytes) -> Finding:
    (finding,) = findings_of(directory, text)
    return finding


def test_a_small_config_is_enough_and_has_the_documented_defaults(directory: Path) -> None:
    file = write(directory, GOOD)
    config = load_config(file)
    assert check_config(file) == []
    assert config.agent.state_directory == Path("/var/lib/ttlock-agent")
    assert config.agent.control_socket == Path("/run/ttlock-agent/control.sock")
    assert config.agent.log_level is LogLevel.INFO
    assert (config.mqtt.port, config.mqtt.base_topic, config.mqtt.keepalive_s) == (
        1883, "ttlock", 30,
    )  # fmt: skip
    assert config.mqtt.response_topic_prefix is None
    assert config.cloud is None
    assert config.bluetooth == BluetoothConfig(connect_timeout_s=20, response_timeout_s=6)
    (lock,) = config.locks
    assert lock.address == "AA:BB:CC:DD:EE:FF"
    assert lock.time_zone == zoneinfo.ZoneInfo("Europe/Berlin")
    assert lock.clock_tolerance_s == 30
    assert lock.keys is None


def test_directories_come_from_systemd_unless_written(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/srv/state:/srv/other")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/srv/run")
    agent = load_config(write(directory, GOOD)).agent
    assert agent.state_directory == Path("/srv/state")
    assert agent.control_socket == Path("/srv/run/control.sock")
    text = GOOD.replace("id: house-12", "id: house-12\n  state_directory: state")
    assert load_config(write(directory, text)).agent.state_directory == directory / "state"


def test_sections_left_empty_mean_their_defaults(directory: Path) -> None:
    config = load_config(write(directory, GOOD + "    name:\nbluetooth:\ncloud:\n"))
    assert config.cloud is None
    assert config.locks[0].name is None
    assert config.bluetooth == BluetoothConfig()


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ('"aa:bb:cc:dd:ee:0f"', "AA:BB:CC:DD:EE:0F"),
        ("virtual:front-door", "virtual:front-door"),
        ("virtual:/run/lock.sock", "virtual:/run/lock.sock"),
    ],
)
def test_addresses_have_one_spelling(directory: Path, written: str, address: str) -> None:
    config = load_config(write(directory, GOOD.replace('"AA:BB:CC:DD:EE:FF"', written)))
    assert config.locks[0].address == LockAddress(address)


# One mistake each: what replaces what in GOOD, and line, column and parts of what is said.
MISTAKES: dict[str, tuple[str, str, int, int, list[str]]] = {
    "unknown key": ("host:", "hots:", 4, 3, ["`mqtt` has no setting `hots`", "`host`?"]),
    "unknown key, nothing like it": (
        "host: localhost", "host: localhost\n  zzz: 1", 5, 3, ["no setting `zzz`", "known are"],
    ),
    "unknown key beside the right one": (
        "host: localhost", "hots: a\n  host: localhost", 4, 3, ["no setting `hots`", "known are"],
    ),
    "unknown section": ("locks:", "lokcs:", 5, 1, ["The file has no", "`locks`?"]),
    "key that is no name": ("host:", "[a]: 1\n  host:", 4, 3, ["no setting (not shown)"]),
    "missing key": ("    time_zone: Europe/Berlin\n", "", 6, 5,
                    ["`locks[0].time_zone` is missing", "Europe/Berlin"]),
    "missing section": ("mqtt:\n  host: localhost\n", "", 1, 1, ["`mqtt` is missing", "host"]),
    "missing list": (GOOD[GOOD.index("locks:") :], "", 1, 1,
                     ["`locks` is missing", "locks: with a list, each item of it a section"]),
    "key twice": ("host: localhost", "host: localhost\n  host: other", 5, 3,
                  ["`host` is written twice", "line 4"]),
    "section empty": ("mqtt:\n  host: localhost", "mqtt:", 3, 6, ["`mqtt.host` is missing"]),
    "section is text": ("mqtt:\n  host: localhost", "mqtt: localhost", 3, 7,
                        ["`mqtt` must be a section", "host"]),
    "text is a section": ("host: localhost", "host: {a: 1}", 4, 9, ["must be text"]),
    "list is a section": ("  - id: front-door\n    address", "    id: front-door\n    address", 6,
                          5, ["`locks` must be a list", "dash"]),
    "no locks": (GOOD[GOOD.index("  - id") :], "  []\n", 6, 3, ["`locks` is empty"]),
    "no value": ("host: localhost", "host:", 4, 8, ["`mqtt.host` has no value", "localhost"]),
    "no value for an address": ('"AA:BB:CC:DD:EE:FF"', "", 7, 13, ["has no value"]),
    "out of range": ("host: localhost", "host: localhost\n  port: 70000", 5, 9,
                     ["`mqtt.port` must be a whole number from 1 to 65535", "port: 1883"]),
    "number in quotes": ("host: localhost", 'host: localhost\n  port: "1883"', 5, 9,
                         ["must be a whole number"]),
    "not true or false": ("host: localhost", "host: localhost\n  allow_plaintext: maybe", 5, 20,
                          ["must be true or false", "allow_plaintext: false"]),
    "below the least": ("id: front-door", "id: front-door\n    cloud_lock_id: 0", 7, 20,
                        ["must be a whole number of at least 1"]),
    "text too long": ("id: front-door", "id: front-door\n    name: " + "x" * 65, 7, 11,
                      ["must be text of at most 64 characters"]),
    "unknown word": ("id: house-12", "id: house-12\n  log_level: loud", 3, 14,
                     ["must be one of", "trace"]),
    "id with a slash": ("id: house-12", "id: a/b", 2, 7, ["`agent.id` must be 1 to 64 letters"]),
    "id with a newline": ("id: house-12", 'id: "house\\n"', 2, 7, ["`agent.id` must be"]),
    "topic with a wildcard": ("host: localhost", 'host: localhost\n  base_topic: "a/#"', 5, 15,
                              ["`mqtt.base_topic` must be"]),
    "octal trap": ("id: front-door", "id: 0123", 6, 9,
                   ["YAML reads 0123 as the number 83", 'quotes: id: "0123"']),
    "sexagesimal trap": ("id: front-door", "id: 12:30", 6, 9, ["as the number 750", '"12:30"']),
    "MAC of digits": ('"AA:BB:CC:DD:EE:FF"', "12:34:56:12:34:56", 7, 14,
                      ['quotes: address: "12:34:56:12:34:56"']),
    "word that means false": ("id: front-door", "id: no", 6, 9, ["reads no as false", '"no"']),
    "date that is none": ("id: front-door", "id: 2026-13-45", 6, 9,
                          ["as nothing it knows", '"2026-13-45"']),
    "tag": ("host: localhost", "host: !!python/name:os.system x", 4, 9, ["must be text"]),
    "MAC without colons": ('"AA:BB:CC:DD:EE:FF"', "aa-bb-cc-dd-ee-0f", 7, 14,
                           ["without colons", '"AA:BB:CC:DD:EE:0F"']),
    "no address": ('"AA:BB:CC:DD:EE:FF"', "front", 7, 14, ["neither a MAC nor a virtual lock"]),
    "empty address": ('"AA:BB:CC:DD:EE:FF"', '""', 7, 14, ["`locks[0].address` must be text"]),
    "virtual nothing": ('"AA:BB:CC:DD:EE:FF"', '"virtual:"', 7, 14, ["names no virtual lock"]),
    "zone misspelled": ("Europe/Berlin", "Europe/Berlim", 8, 16, ["Did you mean Europe/Berlin?"]),
    "zone by its city": ("Europe/Berlin", "Kuala Lumpur", 8, 16, ["mean Asia/Kuala_Lumpur?"]),
    "zone is a directory": ("Europe/Berlin", "America", 8, 16, ["is not a time zone"]),
    "zone is a path": ("Europe/Berlin", "/etc/localtime", 8, 16, ["is not a time zone"]),
    "zone is nothing": ("Europe/Berlin", "xyzzy", 8, 16, ["is not a time zone", "IANA"]),
    "plaintext to another machine": ("localhost", "192.0.2.7", 4, 9,
                                     ["not encrypted", "tls: {}", "allow_plaintext: true"]),
    "password without a user": (
        "host: localhost", "host: localhost\n  password: file:agent.yaml", 5, 13, ["no username"],
    ),
    "half a certificate": ("host: localhost",
                           "host: localhost\n  port: 8883\n  tls: {cert_file: agent.yaml}", 6, 8,
                           ["belong together"]),
    "CA file missing": ("host: localhost",
                        "host: localhost\n  port: 8883\n  tls: {ca_file: gone.pem}", 6, 18,
                        ["gone.pem cannot be read", "No such file"]),
    "socket path too long": (
        "id: house-12", "id: house-12\n  control_socket: /" + "x" * 120, 3, 19, ["107 bytes"],
    ),
    "not YAML": ("mqtt:", "mqtt: :", 3, 7, ["not YAML", "indentation"]),
    "alias": ("localhost", "*localhost", 4, 9, ["undefined alias (not shown)", "in quotes"]),
    "tab": ("  host", "\thost", 4, 1, ["not YAML"]),
    "two documents": ("locks:", "---\nlocks:", 5, 1, ["not YAML", "line ---"]),
    "control character": ("house-12", "house\x07", 2, 12, ["control character"]),
    "not UTF-8": ("house-12", "hous\udcff", 2, 11, ["not UTF-8"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_what_to_write(directory: Path, name: str) -> None:
    old, new, line, column, parts = MISTAKES[name]
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    file = write(directory, text.encode(errors="surrogateescape"))
    file.chmod(0o600)
    (finding,) = check_config(file)
    assert (finding.line, finding.column, finding.severity) == (line, column, Severity.ERROR), (
        finding
    )
    assert str(finding).startswith(f"{file}:{line}:{column}: error: ")
    for part in parts:
        assert part in str(finding)
    with pytest.raises(InvalidConfig) as caught:
        load_config(file)
    assert caught.value.findings == (finding,)
    assert caught.value.exit_code == EX_CONFIG


def test_a_machine_without_zones_is_told_what_to_install(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    finding = only_finding(directory, GOOD.replace("Europe/Berlin", "Europe/Nowhere"))
    assert "apt install tzdata" in finding.hint


def test_all_mistakes_are_listed_in_the_order_of_lines(directory: Path) -> None:
    findings = findings_of(
        directory,
        """\
agnt:
  id: house-12
mqtt:
  host: 192.0.2.7
  port: 0
  keepalive_s: soon
locks:
  - id: front-door
    address: "AA:BB:CC:DD:EE:FF"
    time_zone: Europe/Berlim
  - id: back-door
    address: "AA:BB:CC:DD:EE:00"
    time_zone: Europe/Berlin
  - id: back-door
    address: "aa:bb:cc:dd:ee:00"
    time_zone: Europe/Berlin
  - adress: virtual:x
    time_zone: 5
""",
    )
    assert [(f.line, f.setting) for f in findings] == [
        (1, ""),
        (5, "mqtt.port"),
        (6, "mqtt.keepalive_s"),
        (10, "locks[0].time_zone"),
        (14, "locks[2].id"),
        (15, "locks[2].address"),
        (17, "locks[3]"),
        (17, "locks[3].id"),
        (18, "locks[3].time_zone"),
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "just text", "- a\n- list", "[" * 5000])
def test_a_file_of_another_shape_is_one_finding(directory: Path, text: str) -> None:
    assert only_finding(directory, text).severity is Severity.ERROR


def test_a_file_that_is_not_there_is_a_finding_without_a_line(tmp_path: Path) -> None:
    file = tmp_path / "gone.yaml"
    (finding,) = check_config(file)
    assert str(finding).startswith(f"{file}: error: The file cannot be read: No such file")
    with pytest.raises(InvalidConfig):
        load_config(file)


def test_an_alias_to_itself_ends(directory: Path) -> None:
    assert findings_of(directory, "agent: &a\n  id: *a\nmqtt: *a\nlocks: *a\n")


def test_tls_on_the_plaintext_port_is_a_warning_that_stops_nothing(directory: Path) -> None:
    text = GOOD.replace("localhost", "broker.example.org\n  tls: {}")
    finding = only_finding(directory, text)
    assert (finding.severity, finding.setting) == (Severity.WARNING, "mqtt.port")
    assert load_config(write(directory, text)).mqtt.tls is not None


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.1.2.3", '"::1"'])
def test_plaintext_to_this_machine_is_fine(directory: Path, host: str) -> None:
    assert findings_of(directory, GOOD.replace("localhost", host)) == []


def test_plaintext_elsewhere_is_fine_when_it_is_allowed(directory: Path) -> None:
    text = GOOD.replace("localhost", "192.0.2.7\n  allow_plaintext: true")
    assert findings_of(directory, text) == []


# --- secrets -------------------------------------------------------------------------------------


def with_keys(reference: str) -> str:
    return GOOD + f"    keys: {reference}\n"


@pytest.mark.parametrize(
    "written",
    ["hunter2-hunter2", '"hunter2:hunter2"', "0123", '"hunter2:"', "!hunter2", "{hunter2: 1}",
     '"file:"', '"env:a-hunter2"', '"credential:../hunter2"'],
)  # fmt: skip
def test_a_secret_in_the_file_is_refused_and_not_repeated(directory: Path, written: str) -> None:
    finding = only_finding(directory, with_keys(written))
    assert finding.setting == "locks[0].keys"
    assert "hunter2" not in str(finding)
    assert "0123" not in str(finding)
    assert re.search("credential:|file:|env:", finding.hint)


@pytest.mark.parametrize("written", ["*hunter2", "!hunter2!x", "&hunter2 *hunter2x"])
def test_a_secret_that_breaks_the_yaml_is_not_repeated(directory: Path, written: str) -> None:
    assert "hunter2" not in str(only_finding(directory, with_keys(written)))


def test_a_secret_comes_from_a_file_beside_the_config(directory: Path) -> None:
    secret_file(directory, "door.json", '{"a": 1}\r\n')
    config = load_config(write(directory, with_keys("file:door.json")))
    assert isinstance(config.locks[0].keys, SecretRef)
    assert config.locks[0].keys.resolve() == '{"a": 1}'
    assert findings_of(directory, with_keys("file:door.json")) == []


def test_a_secret_comes_from_the_services_credentials(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = directory / "credentials"
    credentials.mkdir()
    # systemd's access lists show as group bits: no finding.
    secret_file(credentials, "door", "text", mode=0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert findings_of(directory, with_keys("credential:door")) == []
    config = load_config(write(directory, with_keys("credential:door")))
    assert config.locks[0].keys is not None
    assert config.locks[0].keys.resolve() == "text"
    finding = only_finding(directory, with_keys("credential:gone"))
    assert finding.severity is Severity.ERROR


def test_a_secret_comes_from_the_environment(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOOR_KEYS", "text")
    config = load_config(write(directory, with_keys("env:DOOR_KEYS")))
    assert config.locks[0].keys is not None
    assert config.locks[0].keys.resolve() == "text"
    assert findings_of(directory, with_keys("env:DOOR_KEYS")) == []


@pytest.mark.parametrize("reference", ["credential:door", "env:TTLOCK_TEST_UNSET"])
def test_what_only_the_service_has_is_a_warning_until_it_is_read(
    directory: Path, reference: str
) -> None:
    finding = only_finding(directory, with_keys(reference))
    assert (finding.severity, finding.setting) == (Severity.WARNING, "locks[0].keys")
    keys = load_config(write(directory, with_keys(reference))).locks[0].keys
    assert keys is not None
    with pytest.raises(ConfigError, match=re.escape(reference)) as caught:
        keys.resolve()
    assert "LoadCredential=door" in caught.value.hint or "Set it" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "not UTF-8"),
     ("directory", "directory")],
)  # fmt: skip
def test_a_secret_that_cannot_be_read_is_an_error_with_the_cause(
    directory: Path, content: bytes | str | None, said: str
) -> None:
    file = directory / "door.json"
    if content == "directory":
        file.mkdir()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    finding = only_finding(directory, with_keys("file:door.json"))
    assert finding.severity is Severity.ERROR
    assert said in finding.message
    assert finding.line == 9


@pytest.mark.parametrize("mode", [0o440, 0o604, 0o420])
def test_a_secret_that_others_may_read_is_a_warning(directory: Path, mode: int) -> None:
    file = secret_file(directory, "door.json", "text", mode)
    finding = only_finding(directory, with_keys("file:door.json"))
    assert finding.severity is Severity.WARNING
    assert f"chmod 0400 {file}" in finding.hint
    file.chmod(stat.S_IRUSR)
    assert findings_of(directory, with_keys("file:door.json")) == []


def test_the_repr_of_a_config_holds_no_secret(directory: Path, log_guard: Any) -> None:
    log_guard.register("very-secret-text")
    secret_file(directory, "door.json", "very-secret-text")
    config = load_config(write(directory, with_keys("file:door.json")))
    assert "very-secret-text" not in repr(config)
    assert str(config.locks[0].keys) == "file:door.json"


# --- cloud ---------------------------------------------------------------------------------------

CLOUD = """\
cloud:
  client_id: abc
  client_secret: file:secret
  username: owner@example.org
  password_md5: file:secret
"""


@pytest.fixture
def cloud(directory: Path) -> str:
    secret_file(directory, "secret", "text")
    return GOOD + "    cloud_lock_id: 7\n" + CLOUD


def test_the_cloud_has_defaults_that_keep_one_lock_within_the_budget(
    directory: Path, cloud: str
) -> None:
    assert findings_of(directory, cloud) == []
    config = load_config(write(directory, cloud)).cloud
    assert config is not None
    assert config.base_url == "https://euapi.ttlock.com"
    assert (config.poll_interval_s, config.monthly_call_budget) == (1800, 5000)
    assert not config.tell_passcodes


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("base_url: http://euapi.ttlock.com", "https://euapi.ttlock.com"),
        ("base_url: https://user:pw@host", "without path or user"),
        ("base_url: https://[::1", "no address of a server"),
        ("base_url: https://host:99999", "no address of a server"),
    ],
)
def test_the_cloud_is_spoken_to_in_safety(
    directory: Path, cloud: str, line: str, said: str
) -> None:
    finding = only_finding(directory, f"{cloud}  {line}\n")
    assert (finding.severity, finding.setting) == (Severity.ERROR, "cloud.base_url")
    assert said in str(finding)


def test_a_fake_cloud_on_this_machine_needs_no_encryption(directory: Path, cloud: str) -> None:
    assert findings_of(directory, cloud + "  base_url: http://127.0.0.1:8080\n") == []


def test_polling_beyond_the_budget_is_a_warning_with_the_interval_that_fits(
    directory: Path, cloud: str
) -> None:
    finding = only_finding(directory, cloud + "  poll_interval_s: 60\n")
    assert finding.severity is Severity.WARNING
    assert "the agent will look every 1728 s" in finding.message
    assert "poll_interval_s: 1728 " in finding.hint
    assert findings_of(directory, cloud + "  poll_interval_s: 1728\n") == []


def test_cloud_and_locks_that_do_not_meet_are_warnings(directory: Path, cloud: str) -> None:
    finding = only_finding(directory, cloud.replace("    cloud_lock_id: 7\n", ""))
    assert (finding.severity, finding.setting) == (Severity.WARNING, "cloud")
    finding = only_finding(directory, cloud.replace(CLOUD, ""))
    assert (finding.severity, finding.setting) == (Severity.WARNING, "locks[0].cloud_lock_id")


# --- the files in config/ ------------------------------------------------------------------------


@pytest.fixture
def example(directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example's text, in a directory that has what it names."""
    names = ("mqtt-password", "cloud-client-secret", "cloud-password-md5", "front-door-keys")
    for name in (*names, "callback-path", "broker-ca.pem", "agent.pem", "agent.key"):
        secret_file(directory, name, "text")
    (directory / "firmware-faults.toml").touch()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    return (SOURCE / "agent.example.yaml").read_text()


def test_the_example_has_no_findings(directory: Path, example: str) -> None:
    assert example.startswith("# yaml-language-server: $schema=agent.schema.json\n")
    assert findings_of(directory, example) == []


def test_what_the_example_leaves_out_is_right_as_well(directory: Path, example: str) -> None:
    full = re.sub(r"^( *)#(?=[a-z_]+:)", r"\1", example, flags=re.MULTILINE)
    findings = findings_of(directory, full)
    # The example shows plaintext and tls settings side by side.
    assert [finding.setting for finding in findings] == ["mqtt.port"]
    config, small = (load_config(write(directory, text)) for text in (full, example))
    shown_only = {
        "adapters",
        "state_directory",
        "control_socket",
        "tls",
        "response_topic_prefix",
        "name",
        "callbacks",
        "firmware_faults",
    }
    for section in ("agent", "mqtt", "cloud", "watch", "bluetooth"):
        written, default = getattr(config, section), getattr(small, section)
        for name in set(written.__struct_fields__) - shown_only:
            assert str(getattr(written, name)) == str(getattr(default, name)), f"{section}.{name}"


def test_the_example_shows_every_setting(example: str) -> None:
    def settings(kind: type[msgspec.Struct]) -> set[str]:
        info = msgspec.inspect.type_info(kind)
        return set(re.findall(r"Field\(name='(\w+)'", repr(info)))

    shown = set(re.findall(r"^[ #-]*([a-z_0-9]+):", example, flags=re.MULTILINE))
    assert settings(Config) - shown == set()
    assert len(settings(Config)) > 25


def test_the_schema_is_in_step_with_the_code() -> None:
    committed = (SOURCE / "agent.schema.json").read_text()
    assert committed == config_schema(), "run: python -m ttlock_agent.config.schema > FILE"


def test_every_setting_has_a_description_in_the_schema() -> None:
    schema = msgspec.json.decode(config_schema())
    undescribed = [
        f"{name}.{setting}"
        for name, struct in schema["$defs"].items()
        for setting, described in struct.get("properties", {}).items()
        if "description" not in described and "$ref" not in described
    ]
    assert undescribed == []


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "a: " + "[" * 3000])
def test_what_is_wrong_with_a_whole_file_is_in_its_first_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(content)
    (finding,) = check_config(path)
    assert (finding.line, finding.column) == (1, 1)


def test_a_table_of_firmware_faults_that_cannot_be_used_is_a_finding(directory: Path) -> None:
    table = directory / "faults.toml"
    table.write_text('[[fault]]\nfirmware = "6."\n')
    text = GOOD.replace("agent:\n", f"agent:\n  firmware_faults: {table}\n")
    (finding,) = findings_of(directory, text)
    assert finding.setting == "agent.firmware_faults"
    assert "missing" in finding.message
