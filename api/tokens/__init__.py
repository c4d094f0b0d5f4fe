"""Count tokens before a call, and say how well that went."""
