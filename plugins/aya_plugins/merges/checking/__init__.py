"""Whether a merged checkpoint loads, and how likely it finds some lines."""
