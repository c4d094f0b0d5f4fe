"""Count tokens, and say how well they were counted."""
