"""The technician's suite: what a real lock must do, tried at the lock, and signed for.

``model``      checks, verdicts, answers, as values     ``catalogue``  all checks, in their order
``book``       what happened, on disk before it does    ``undo``       promises to put things back
``rig``        what a check may use                     ``talk``       one connection, with quirks
``interlocks`` what must be so before anything moves    ``hands``      who types at the keypad
``air``        how well the lock is heard               ``box``        an agent of its own, to kill
``site``       the lock under test, real or made up     ``session``    one run, from start to report
``questions``  the 44 disagreements and their probes    ``report``     JUnit XML and a page to sign

The checks: ``check_contact``, ``check_reading``, ``check_passcodes``, ``check_credentials``,
``check_settings``, ``check_door``, ``check_probes``, ``check_endurance``, ``check_destructive``.
"""
