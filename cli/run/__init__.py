"""Answer the prompts of a file."""
