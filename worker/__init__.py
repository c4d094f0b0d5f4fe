"""The engine room: release, call, finish."""
