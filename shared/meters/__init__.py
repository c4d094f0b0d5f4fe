"""Redis, the hints: quota meters in Lua beside their wrapper."""
