"""Crashes and storms: the whole agent in simulated time, and the ways in which its world fails."""
