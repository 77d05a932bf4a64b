"""The archive's tables: their columns, where they are, how files are written to them and committed."""
