"""Scripts that run in engine processes: by path, apart from the package, so that a child imports little."""
