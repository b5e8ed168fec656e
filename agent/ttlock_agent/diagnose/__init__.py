"""What keeps passcodes from working: every guess of field case 1 as a measurement.

``facts``       what was measured, by whom and when; nothing else enters a check
``finding``     what a check says, and how findings are ranked
``lock`` ``passcodes`` ``door`` ``gateway`` ``machine``    the checks, pure functions of the facts
``table``       all checks in order, most likely cause first
``firmware``    known faults of firmware, from ``firmware.toml`` and the owner's own file
``session``     reads a lock within one visit
``gather``      puts the facts together
``diagnosis``   the job: measure, repair what is harmless, measure again
"""
