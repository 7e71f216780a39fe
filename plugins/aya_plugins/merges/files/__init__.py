"""Checkpoints on disk, tensor by tensor, without torch until values are read."""
