"""Data: rows of data sets."""
