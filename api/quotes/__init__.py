"""What jobs would cost, before they are submitted."""
