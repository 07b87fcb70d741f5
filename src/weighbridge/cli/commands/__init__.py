"""The commands: each module's docstring is its help, its first line the summary."""
