"""Who can be called, within which limits, at what price."""
