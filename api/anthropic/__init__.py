"""The face of Anthropic's API: messages and batches of them."""
