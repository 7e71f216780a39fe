"""What trainers, teachers and arbiters share: conversations to tokens, the output head, checkpoints on disk."""
