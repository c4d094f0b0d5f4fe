"""Whom a job may go to, in which order, and why."""
