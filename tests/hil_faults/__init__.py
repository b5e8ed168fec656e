"""Broken locks, and which test of the technician's suite finds each.

``python -m tests.hil_faults`` prints the table. ``locks`` has the faults as data, ``bench`` puts a
broken lock on the suite's table, in a process of its own.
"""
