"""The stack on this machine, as child processes."""
