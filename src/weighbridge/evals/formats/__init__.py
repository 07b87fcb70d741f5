"""Formats of tasks, one file each: `reads(path)` says whether a file is one, `read(path, data)` makes its tasks."""
