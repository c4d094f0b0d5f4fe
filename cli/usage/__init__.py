"""What calls used and cost, as a table with bars, and what would have cost less."""
