"""Writing rows: packing, undo records, resets."""
