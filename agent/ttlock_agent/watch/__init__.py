"""The gateway watch: what the cloud claims against what the lock's own memory holds.

Pure: ``verdict`` (the decision table and its sentences), ``evidence`` (from what is known to a
reading), ``hysteresis`` (when a reading changes the verdict), ``claims`` (who says what the lock
should hold), ``pace`` (patience after trouble).

``book`` is what is known of a lock, kept in the journal. ``watch`` follows the claims, ``takeover``
asks for the jobs, ``door`` reads records, ``judgement`` concludes and publishes.

What feeds it: ``cloud_eye`` (polls and probes), ``callbacks``, and requests ``gateway.report``.
``teller`` writes to the cloud what the agent did.
"""
