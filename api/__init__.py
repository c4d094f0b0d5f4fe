"""The thin door: accept and show."""
