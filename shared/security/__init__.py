"""Keys of callers."""
