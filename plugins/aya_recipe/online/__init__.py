"""Online stages."""
