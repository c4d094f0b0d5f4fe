"""One attempt, start to finish; read run.py first."""
