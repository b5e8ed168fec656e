"""TTLock V3 protocol, sans-IO."""
