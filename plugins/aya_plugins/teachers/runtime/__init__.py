"""What the teachers run: engines, and servers with their replies. They import no strategy."""
