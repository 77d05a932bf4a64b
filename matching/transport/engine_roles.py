"""Roles of an engine process, as its status reports them."""

LEADER = "leader"
FOLLOWER = "follower"
REPLICA = "replica"  # one of several engines that read the same log; all of them take commands
TAKE_COMMANDS = frozenset((LEADER, REPLICA))

BEING_PROMOTED = "This follower is being promoted already."
"""Why a follower refuses a second request for a promotion."""
