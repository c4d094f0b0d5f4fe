"""Foreign dialects out: our request becomes theirs."""
