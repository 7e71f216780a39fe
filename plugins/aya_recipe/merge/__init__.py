"""Merging stages."""
