"""Benchmarks: ratios within one run, or counts against the least the protocol allows."""
