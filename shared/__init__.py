"""What all houses agree on."""
