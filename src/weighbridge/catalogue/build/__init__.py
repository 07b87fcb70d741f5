"""Builds the data file that ships with the package: `python -m weighbridge.catalogue.build DATA_FOLDER`."""
