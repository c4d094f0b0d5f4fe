"""A stand-in internet of providers, for tests, demos and rehearsals."""
