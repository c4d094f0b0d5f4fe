"""Rooms of the webhooks: endpoints, what they were told, and the URLs that single jobs name."""
