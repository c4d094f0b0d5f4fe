"""The words for keys and tenants."""
