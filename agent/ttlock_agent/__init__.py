"""A local agent for TTLock smart locks."""

__version__ = "0.1.0"
