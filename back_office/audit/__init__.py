"""The audit log: who did what, when, from where and why. Append only, and each record is chained to the one before."""
