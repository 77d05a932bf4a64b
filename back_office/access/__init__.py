"""Who may see what: logins, permissions, the end of sessions."""
