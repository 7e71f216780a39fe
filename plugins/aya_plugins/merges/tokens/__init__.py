"""Tokenizers of merged models, and the rows of their tables."""
