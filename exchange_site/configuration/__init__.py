"""Reading and checking of settings: environment variables, addresses, folders, the database."""
