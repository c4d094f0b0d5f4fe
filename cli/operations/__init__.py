"""Words for whoever runs Promptmill: its data, kept and let go."""
