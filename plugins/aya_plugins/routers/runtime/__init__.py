"""What the routers run that need torch. They import no strategy."""
