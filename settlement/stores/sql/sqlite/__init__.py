"""Django's SQLite backend, except that opening a database never creates one.

SQLite creates a missing file when it is opened. After the loss of a database a health probe would put an empty one in
its place, and everything that starts later would find a store without a block.
"""
