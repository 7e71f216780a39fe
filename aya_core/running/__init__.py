"""Running: the runner, its worker process, and what the actions of steps work with."""
