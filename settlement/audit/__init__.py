"""Checks: verify_settlement and reconcile."""
