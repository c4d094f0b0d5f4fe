"""What clients of other APIs say, in the normal form, and its answers in their words."""
