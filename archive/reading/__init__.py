"""Reads single rows and pages of the archive, for lookups of a store whose old rows are released."""
