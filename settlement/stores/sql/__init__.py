"""The store contract on SQLite and PostgreSQL."""
