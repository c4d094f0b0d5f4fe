"""Which server a command talks to, and the client for it."""
