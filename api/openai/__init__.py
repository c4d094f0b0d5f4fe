"""The face of OpenAI's API under /v1."""
