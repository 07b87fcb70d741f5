"""Scorers, one file each, found by name: `make(**options)` returns what scores an answer."""
