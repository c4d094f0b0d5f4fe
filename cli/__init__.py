"""The command promptmill: it belongs to no house and starts them all."""
