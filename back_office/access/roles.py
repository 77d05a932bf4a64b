"""Names of the roles that migrations make; docs/back-office-roles.md says what each may do."""

ROLES = ("viewer", "support", "finance", "operator", "approver", "auditor", "administrator")
EVERYBODY = "all"
"""In SECOND_FACTOR_ROLES: every account, whatever its roles."""
