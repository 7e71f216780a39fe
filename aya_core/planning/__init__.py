"""Planning: from a recipe to the steps of a run."""
