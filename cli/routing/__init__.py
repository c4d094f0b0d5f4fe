"""Routes and policies in the terminal."""
