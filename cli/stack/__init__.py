"""The local stack: real Valkey and Postgres, and the children that are kept running beside them."""
