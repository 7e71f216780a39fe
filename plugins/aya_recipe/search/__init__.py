"""Searching stages."""
