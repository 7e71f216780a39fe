"""What the arbiters run that need torch. They import no strategy."""
