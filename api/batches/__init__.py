"""Batches: files of requests that become jobs, and the files of their answers."""
