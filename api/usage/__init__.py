"""What calls used and cost, summed up, and what would have cost less."""
