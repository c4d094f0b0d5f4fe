"""What webhooks are told: from the events of the bus to the last try of each delivery."""
