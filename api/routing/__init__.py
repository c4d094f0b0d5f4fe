"""Routes and policies over HTTP: plans of jobs, made and explained."""
