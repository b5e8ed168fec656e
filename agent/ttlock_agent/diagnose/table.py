"""All checks, the likeliest cause first; each line of field case 1 is one or more of them."""

from __future__ import annotations

from typing import Final

from ttlock_agent.diagnose import door, gateway, lock, machine, passcodes
from ttlock_agent.diagnose.finding import Check

CHECKS: Final = (
    Check(
        id="passcodes_held",
        question="Is every wanted passcode in the lock's memory?",
        run=passcodes.wanted,
        is_symptom=True,
    ),
    Check(
        id="refused_at_the_door",
        question="Were wanted passcodes refused at the keypad lately?",
        run=door.at_the_door,
        is_symptom=True,
    ),
    Check(id="adapter", question="Do Bluetooth adapter and BlueZ work?", run=machine.adapter),
    Check(id="reached", question="Does the lock answer over Bluetooth?", run=lock.reached),
    Check(id="keys", question="Was the lock reset, or paired anew?", run=lock.keys),
    Check(id="own_clock", question="Is this machine's clock right?", run=machine.own_clock),
    Check(id="journal", question="Does the journal keep everything?", run=machine.journal),
    Check(
        id="gateway",
        question="Does the gateway bring what the cloud calls delivered?",
        run=gateway.delivers,
    ),
    Check(id="clock", question="Is the lock's clock right, and its zone?", run=lock.clock),
    Check(id="memory", question="Is there room in the lock's memory?", run=passcodes.memory),
    Check(id="battery", question="Are the lock's batteries good?", run=lock.battery),
    Check(id="features", question="Is the keypad among the lock's features?", run=lock.features),
    Check(id="kinds", question="Which kinds of passcodes does it take?", run=passcodes.kinds),
    Check(
        id="confirmed",
        question="Does the lock keep what it confirms?",
        run=passcodes.confirmed,
    ),
    Check(
        id="collisions",
        question="Does one passcode begin like another?",
        run=passcodes.collisions,
    ),
    Check(id="remote_unlock", question="May the gateway open the lock?", run=lock.remote_unlock),
    Check(id="cloud", question="Does the cloud answer, with the rights needed?", run=gateway.cloud),
    Check(id="signal", question="Is the lock heard and reached well?", run=lock.signal),
    Check(id="gateway_signal", question="Does the gateway hear the lock?", run=gateway.heard),
    Check(id="firmware", question="Is the firmware known for faults?", run=lock.firmware),
    Check(id="drift", question="Does the lock's clock keep the time?", run=lock.drift),
    Check(id="broker", question="Is the broker connected?", run=machine.broker),
    Check(
        id="deliveries",
        question="Do jobs of this lock wait?",
        run=passcodes.deliveries,
        is_symptom=True,
    ),
    Check(
        id="expired",
        question="Are passcodes in the lock that are over?",
        run=passcodes.expired,
        is_symptom=True,
    ),
    Check(
        id="strangers",
        question="Are passcodes in the lock that nobody asked the agent for?",
        run=passcodes.strangers,
        is_symptom=True,
    ),
)
