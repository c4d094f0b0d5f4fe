"""Postgres, the truth: every statement."""
