"""Figures about the market: named queries over the archive and the store, by DuckDB here or by StarRocks."""
