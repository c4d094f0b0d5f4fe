"""The job resource."""
