"""Measured figures: each prints a table, with what it is held against measured in the same run."""
