"""What a file of prompts would cost."""
