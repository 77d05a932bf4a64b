"""Ends the driver's event loop before the interpreter exits, so that exiting does not take five seconds.

At exit the driver closes its connections, stops the watchers of its event loop and joins the loop's thread for up to
five seconds. If the loop has not yet processed the closed connections, its reference count stays above zero and the
thread never ends, so about every second command takes five seconds longer (scylla-driver 3.29, since
https://github.com/scylladb/python-driver/pull/708). Here the loop is asked to end first.
"""

import os
import sys

_JOIN_TIMEOUT_S = 1.0


def end_event_loop() -> None:
    """Call after all connections of this process are closed. Does nothing if the driver does not use libev."""
    reactor = sys.modules.get("cassandra.io.libevreactor")
    loop = getattr(reactor, "_global_loop", None)
    if loop is None or loop._pid != os.getpid() or loop._thread is None:
        return
    loop._shutdown = True  # the next iteration does not wait for timers, and without connections it is the last one
    loop.notify()
    loop._thread.join(_JOIN_TIMEOUT_S)
