"""What can be asked for, and who answers: models and providers over HTTP."""
