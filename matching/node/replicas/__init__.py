"""Replicas: engines that read the same Kafka topic and all take commands."""
