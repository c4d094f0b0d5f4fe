"""The words about budgets."""
