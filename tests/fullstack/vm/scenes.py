"""The installed service against a real Bluetooth stack: ``scenes.py [SCENE...]``, in the guest."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import stage
from stage import SLOW, UNIT, ask, ask_to_delete, await_proved, prop, say, sh, until

from ttlock_agent.jobs.radio import MAX_VISIT_S

LOCK: stage.Lock
KILLS = int(os.environ.get("KILLS", "3"))


def main_job() -> None:
    """Asked for by mosquitto_pub, proved, typed, opens."""
    asked_s = time.monotonic()
    ask("main-1", "240817")
    await_proved("main-1")
    say(f"proved {time.monotonic() - asked_s:.1f} s after mosquitto_pub")
    LOCK.must_open("240817")
    say("typed at the keypad, it opens the door")
    ask_to_delete("main-2", "240817")
    await_proved("main-2")
    assert not LOCK.type_code("240817").is_opened
    say("deleted, it does not")
    line = until("a visit in the status line", lambda: "1 of 1 locks" in prop("StatusText"))
    assert line
    say(f"systemctl status says: {prop('StatusText')}")


def sandbox() -> None:
    """What the unit promises, of the process that runs."""
    pid = prop("MainPID")
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(re.findall(r"^(\w+):\s*(.*)$", status, re.MULTILINE))
    assert fields["CapEff"] == fields["CapBnd"] == "0000000000000000", fields["CapEff"]
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    assert fields["Uid"].split()[0] == sh("id", "-u", "ttlock-agent")
    say("no capability, no new privileges, system calls filtered, not root")
    judged = sh("systemd-analyze", "security", "--no-pager", "--threshold=13", UNIT, check=False)
    say(judged.splitlines()[-1].strip())
    assert " OK " in judged.splitlines()[-1], judged
    journal = sh("journalctl", "-u", UNIT, "-o", "cat", "--no-pager")
    assert "vault_key_beside_its_vault" in journal
    key = Path("/var/lib/ttlock-agent/vault.key").stat()
    assert key.st_mode & 0o777 == 0o400
    assert Path("/var/lib/ttlock-agent").stat().st_mode & 0o777 == 0o700
    say("started without any credential: its own key, and a warning")
    found = sh("journalctl", "-o", "cat", "--no-pager", "TTL_EVENT=agent_ready")
    assert found.startswith("agent_ready version="), found
    say("the journal finds entries by their fields")
    socket = stage.SOCKET.stat()
    assert socket.st_mode & 0o777 == 0o660, oct(socket.st_mode)
    assert str(socket.st_gid) == sh("getent", "group", "ttlock").split(":")[2]
    for user in ("member", "stranger"):
        sh("useradd", "--no-create-home", user)
    sh("usermod", "-aG", "ttlock", "member")
    for user, may in (("member", True), ("stranger", False)):
        done = subprocess.run(
            ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups",
             "/usr/bin/ttlock-agent", "status"],
            capture_output=True, text=True, timeout=30 * SLOW, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) is may, (user, done)
    say("the control socket is for the group ttlock, and for nobody else")
    denied = subprocess.run(
        ["mosquitto_pub", "-V", "5", "-q", "1", "-u", "bookings", "-P", "secret-of-bookings",
         "-t", f"{stage.TOPIC}/request/passcode.list", "-m", "{}"],
        capture_output=True, text=True, timeout=30 * SLOW, check=False,
    )  # fmt: skip
    assert "Not authorized" in denied.stdout + denied.stderr, denied
    say("the broker's access list lets bookings ask for passcodes only")


def credentials() -> None:
    """Secrets from encrypted credentials, optional as they are."""
    before = prop("MainPID")
    for name, source in (
        ("vault-key", "/var/lib/ttlock-agent/vault.key"),
        ("mqtt-password", "/etc/ttlock-agent/mqtt-password"),
    ):
        target = f"/etc/credstore.encrypted/ttlock-agent.{name}"
        sh("systemd-creds", "encrypt", "--with-key=host", f"--name={name}", source, target)
    config = Path("/etc/ttlock-agent/agent.yaml")
    config.write_text(config.read_text().replace("file:mqtt-password", "credential:mqtt-password"))
    sh("systemctl", "restart", UNIT, limit_s=60)
    assert prop("MainPID") != before
    stage.await_broker()
    assert stage.status()["vault_key"] == "credential"
    ask("credential-1", "240818")
    await_proved("credential-1")
    say("vault key and broker password from encrypted credentials; the journal opens with it")


def _ask_many(name: str, count: int) -> tuple[list[str], list[str]]:
    digits = stage.new_digits(count)
    ids = [f"{name}-{each}" for each in digits]
    stage.publish("passcode.add", *map(stage.wish, ids, digits))
    return ids, digits


def _must_hold_once(digits: list[str]) -> None:
    held = LOCK.held()
    wrong = [each for each in digits if held.count(each) != 1]
    assert not wrong, f"not exactly once in the lock: {wrong}"


def _adapter_is(state: str) -> None:
    """Wait until the agent calls its adapter so."""
    until(f"an adapter that is {state}", lambda: stage.adapter_state() == state)


def kill() -> None:
    """SIGKILL at random moments of delivery: what was accepted is proved, nothing twice."""
    for number in range(KILLS):
        ids, digits = _ask_many(f"kill{number}", 5)
        pid = prop("MainPID")
        time.sleep(random.random() * 2 * SLOW)
        sh("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
        until("a new start", lambda pid=pid: prop("MainPID") not in {pid, "0"})
        await_proved(*ids, limit_s=120)
        _must_hold_once(digits)
        LOCK.must_open(digits[0])
        say(f"kill -9 number {number + 1}: all five proved, each once in the lock")


def stop() -> None:
    """SIGTERM in the middle of a session: quick, clean, and the rest is done after the start."""
    ids, digits = _ask_many("stop", 10)
    time.sleep(random.random() * SLOW)
    stopped_s = time.monotonic()
    sh("systemctl", "stop", UNIT, limit_s=30)
    took_s = time.monotonic() - stopped_s
    assert (prop("Result"), prop("ExecMainStatus")) == ("success", "0")
    say(f"stopped in the middle of a delivery in {took_s:.1f} s, exit status 0")
    stage.start_agent()
    await_proved(*ids, limit_s=120)
    _must_hold_once(digits)
    say("started again: all ten proved, each once in the lock")


def hang() -> None:
    """A process that stands still is killed by the unit's watchdog and started anew."""
    restarts = int(prop("NRestarts"))
    ids, digits = _ask_many("hang", 3)
    os.kill(int(prop("MainPID")), signal.SIGSTOP)
    until(
        "the watchdog",
        lambda: int(prop("NRestarts")) == restarts + 1 and prop("SubState") == "running",
        limit_s=60,
    )
    assert sh("journalctl", "-u", UNIT, "--no-pager").count("Watchdog timeout") == 1
    await_proved(*ids, limit_s=120)
    _must_hold_once(digits)
    say("a hang: the watchdog killed it, it started again, all proved")


def bluetooth() -> None:
    """bluetooth.service restarted, and stopped for a while, in the middle of deliveries."""
    pid = prop("MainPID")
    ids, digits = _ask_many("restart", 3)
    sh("systemctl", "restart", "bluetooth.service")
    await_proved(*ids, limit_s=180)
    _must_hold_once(digits)
    say("bluetooth.service restarted while it delivered: all proved")
    # Merely stopped, it is started again by D-Bus as soon as anybody asks for it.
    sh("systemctl", "mask", "--runtime", "--now", "bluetooth.service")
    ids, digits = _ask_many("stopped", 2)
    _adapter_is("no_daemon")
    until("accepted", lambda: all(each in stage.answers() for each in ids))
    assert len(stage.status()["open_jobs"]) == 2
    say("bluetooth.service stopped: the status says so, the jobs wait")
    sh("systemctl", "unmask", "--runtime", "bluetooth.service")
    sh("systemctl", "start", "bluetooth.service")
    await_proved(*ids, limit_s=240)
    _must_hold_once(digits)
    assert prop("MainPID") == pid, "the agent itself must have lived through it"
    say("started again: all proved, by the same process")


def power() -> None:
    """The adapter is switched off, then blocked by a radio switch: named, and over by itself."""
    _switch(is_on=False)
    _adapter_is("powered_off")
    _switch(is_on=True)
    _adapter_is("usable")
    say("the adapter was switched off and on, and the status says so")
    (switch,) = Path("/sys/class/bluetooth").glob("hci*/rfkill*/soft")
    switch.write_text("1")
    _adapter_is("blocked")
    switch.write_text("0")
    _switch(is_on=True)
    _adapter_is("usable")
    said = sh("journalctl", "-o", "cat", "--no-pager", "TTL_EVENT=adapter_unusable")
    assert "problem=powered_off" in said, said
    assert "problem=blocked" in said, said
    say("blocked by a radio switch and freed: in the status, and in the journal by its field")


def _switch(*, is_on: bool) -> None:
    """Switch the adapter over D-Bus; `bluetoothctl` does not come back from it here."""
    adapter = ("org.bluez", "/org/bluez/hci0", "org.bluez.Adapter1")
    sh("busctl", "set-property", *adapter, "Powered", "b", str(is_on).lower())


def helper() -> None:
    """The unit that restarts Bluetooth for the agent: off at first, then at a touch."""
    path, request = "ttlock-agent-bluetooth.path", "/run/ttlock-agent/restart-bluetooth"
    assert sh("systemctl", "is-enabled", path, check=False) == "disabled"
    sh("systemctl", "start", path)
    before = prop("ActiveEnterTimestampMonotonic", "bluetooth.service")
    sh("setpriv", "--reuid=ttlock-agent", "--regid=ttlock", "--clear-groups", "touch", request)
    until("the helper", lambda: not Path(request).exists())
    until("BlueZ anew", lambda: prop("ActiveEnterTimestampMonotonic", "bluetooth.service") > before)
    _adapter_is("usable")
    sh("systemctl", "stop", path)
    say("the helper restarted Bluetooth at the agent's request")


def unplug() -> None:
    """The adapter is pulled out in the middle of a delivery and put back."""
    pid = prop("MainPID")
    ids, digits = _ask_many("unplug", 3)
    time.sleep(random.random() * SLOW)
    LOCK.pull_out()
    _adapter_is("missing")
    say("the adapter is gone, and the status says so")
    LOCK.plug_in()
    await_proved(*ids, limit_s=300)
    _must_hold_once(digits)
    assert prop("MainPID") == pid
    say("plugged in again: all proved, by the same process")


def broker() -> None:
    """The broker is killed in the middle of a delivery."""
    ids, digits = _ask_many("broker", 3)
    until("accepted", lambda: all(each in stage.answers() for each in ids))
    sh("systemctl", "kill", "--signal=KILL", "mosquitto.service")
    sh("systemctl", "reset-failed", "mosquitto.service", check=False)
    sh("systemctl", "start", "mosquitto.service")
    await_proved(*ids, limit_s=120)
    _must_hold_once(digits)
    say("the broker was killed while it delivered: all proved, all answered")


def hundred() -> None:
    """A hundred passcodes in one session."""
    before = stage.status()["locks"][stage.LOCK]
    ids, digits = _ask_many("hundred", 100)
    await_proved(*ids, limit_s=300)
    _must_hold_once(digits)

    def visited() -> int:
        return int(stage.status()["locks"][stage.LOCK]["visits"] - before["visits"])

    # Reported when the agent has hung up, which is just after the last answer.
    visits = until("the report of the visit", visited)
    connected_s = stage.status()["locks"][stage.LOCK]["connected_s"] - before["connected_s"]
    assert visits == 1 or connected_s > MAX_VISIT_S, f"{visits} visits of {connected_s:.0f} s"
    say(f"a hundred passcodes proved in {visits} session of {connected_s:.0f} s")


def listing() -> None:
    """A lock with 250 passcodes is listed whole."""
    LOCK.pull_out()
    LOCK.fill(250)
    LOCK.plug_in()
    body = stage.command("passcode.list", {"lock": stage.LOCK})
    assert len(body["passcodes"]) == 250, len(body["passcodes"])
    say("250 passcodes listed")


def passive() -> None:
    """Passive scanning is the owner's choice, and deliveries go on whatever BlueZ makes of it."""
    switch = "/usr/lib/ttlock-agent/passive-scan.sh"

    def is_switched_on() -> bool:
        return "--experimental" in prop("ExecStart", "bluetooth.service")

    assert not is_switched_on(), "it is offered, not assumed"
    assert f"{switch} on" in sh(switch, "offer")
    sh(switch, "on")
    assert is_switched_on()
    assert sh(switch, "offer") == ""
    ids, digits = _ask_many("passive", 2)
    await_proved(*ids, limit_s=240)
    _must_hold_once(digits)
    is_passive = stage.status()["adapters"][0]["is_passive"]
    say(f"passive scanning switched on by the owner, delivering: {is_passive}; all proved")
    sh(switch, "off")
    assert not is_switched_on()


SCENES = {
    each.__name__: each
    for each in (
        main_job,
        sandbox,
        credentials,
        stop,
        kill,
        hang,
        bluetooth,
        unplug,
        power,
        helper,
        broker,
        hundred,
        passive,
        listing,
    )
}

if __name__ == "__main__":
    LOCK = stage.Lock()
    stage.set_the_stage(LOCK)
    stage.main(SCENES)
