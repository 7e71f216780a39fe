"""The bundled strategies: a folder for each kind, a file for each method, and what a method runs in the kind's `runtime`."""
