"""The dispatcher: who may go now."""
