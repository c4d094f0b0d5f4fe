"""The wires of the providers, one beside the other; none knows an account."""
