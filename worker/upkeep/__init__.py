"""Services beside the jobs, named by role."""
