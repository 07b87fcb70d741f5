"""Builds the tables that ship with the package: `python -m weighbridge.digest.knowledge.build DATA_FOLDER`."""
