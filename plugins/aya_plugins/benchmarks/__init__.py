"""Published benchmarks: where each comes from, and its rows read from the files it was published as."""
