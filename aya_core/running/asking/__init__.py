"""Asking an engine about many items, so that nothing it said is ever lost."""
