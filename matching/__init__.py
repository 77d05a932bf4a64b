"""The matching engine and everything that reads its blocks; docs/architecture.md lists the packages."""
