"""The contract: what plugins and core say to each other."""
