"""The connection to ScyllaDB or Cassandra: session, errors, consistency of copies, shutdown."""
