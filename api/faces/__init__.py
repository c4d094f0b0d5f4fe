"""Rooms that every face shares: ask as a job, wait for its answer, tell it while it comes."""
