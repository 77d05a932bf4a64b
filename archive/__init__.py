"""Settled blocks and their rows as Apache Iceberg tables, in a folder or on S3."""
