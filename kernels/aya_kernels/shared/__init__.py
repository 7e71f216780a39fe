"""What several ops use: the choice of a backend, the check of inputs, and scratch memory. It knows no op."""
