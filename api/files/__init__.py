"""Files that callers upload and that batches write."""
