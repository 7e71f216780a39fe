"""The engine that lifts merges of one tensor to merges of checkpoints. It imports no strategy."""
