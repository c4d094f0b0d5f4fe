"""Budgets over HTTP, and those that come with a batch."""
