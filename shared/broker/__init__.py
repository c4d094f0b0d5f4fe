"""Celery, seen from both ends."""
