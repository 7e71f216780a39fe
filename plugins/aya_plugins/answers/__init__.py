"""What models write: reasoning and answer, and how an answer ended."""
