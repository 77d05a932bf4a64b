"""What an engine process can be, as its status names it."""

LEADER = "leader"
FOLLOWER = "follower"
REPLICA = "replica"  # one of several that read the same log and all take commands
TAKE_COMMANDS = frozenset((LEADER, REPLICA))
