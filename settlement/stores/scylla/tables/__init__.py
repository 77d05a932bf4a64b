"""The tables of the ScyllaDB store: models, CQL schema, check of an existing keyspace."""
