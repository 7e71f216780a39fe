"""What config.json says of the weights beside it, and whether two say the same."""
