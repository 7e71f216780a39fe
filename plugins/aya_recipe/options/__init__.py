"""What stages and commands take: the strategies meant where none is named, words of a command line, and one stage as a command."""
