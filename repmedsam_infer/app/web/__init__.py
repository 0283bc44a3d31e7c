"""The server of the page: who may reach it, what it answers."""
