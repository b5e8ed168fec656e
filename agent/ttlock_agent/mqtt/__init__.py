"""MQTT in and out: the only folder that speaks to a broker."""
