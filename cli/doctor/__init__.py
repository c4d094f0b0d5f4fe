"""What is missing for Promptmill to run well here, and how to mend it."""
