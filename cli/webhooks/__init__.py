"""The words about webhooks."""
