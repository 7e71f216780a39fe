"""What trainers, teachers and arbiters share: chats as tokens, the output head, checkpoints on disk."""
