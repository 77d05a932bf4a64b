"""The kernel's memory: pools, hash tables, price levels, the book, and prefetching."""
