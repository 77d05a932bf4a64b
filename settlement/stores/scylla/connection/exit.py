"""How a process with the driver in it ends: soon.

The driver's own way, when the interpreter ends, is to close its connections, to stop what its event loop waits with,
and to join the loop's thread for five seconds. The loop may not have seen by then that the connections are closed;
then it has lost count of what it waits for, never ends, and every second command takes those five seconds longer
(scylla-driver 3.29, since https://github.com/scylladb/python-driver/pull/708). Here the loop ends by itself first.
"""

import os
import sys

_SOON_S = 1.0


def end_event_loop() -> None:
    """Once all connections of this process are closed. Nothing where the driver runs on another loop than libev's."""
    reactor = sys.modules.get("cassandra.io.libevreactor")
    loop = getattr(reactor, "_global_loop", None)
    if loop is None or loop._pid != os.getpid() or loop._thread is None:
        return
    loop._shutdown = True  # so its next turn waits for no time-out either, and with no connection left it is the last
    loop.notify()
    loop._thread.join(_SOON_S)
