"""The report of a run: gathered once from the artifacts, then shown as JSON, Markdown, HTML and in the terminal."""
