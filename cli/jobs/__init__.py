"""The words for jobs: submit, watch, results, jobs, cancel, why."""
