"""Export: what a run holds, as files for other tools."""
