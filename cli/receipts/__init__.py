"""The word that writes receipts."""
