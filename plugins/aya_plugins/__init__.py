"""The default plugins, one folder per kind, one file per method."""
