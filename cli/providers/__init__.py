"""The words about providers."""
