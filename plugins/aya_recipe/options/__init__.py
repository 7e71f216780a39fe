"""What stages and commands take: the strategies meant where none is named, and words of a command line."""
