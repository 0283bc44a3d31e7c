"""Which cases are this process's, where many share the work."""
