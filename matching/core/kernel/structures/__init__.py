"""The kernel's data structures: memory pools, hash tables, price levels, the order book, prefetching."""
