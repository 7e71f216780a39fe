"""LoRA adapters as inputs of a merge."""
