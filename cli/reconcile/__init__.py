"""The word that holds our books against the providers'."""
