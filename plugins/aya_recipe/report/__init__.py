"""Reports as Markdown, HTML, LaTeX and in the terminal. They show the sections that stages bring, and know no stage."""
