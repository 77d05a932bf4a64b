"""The store contract on ScyllaDB and Cassandra."""
