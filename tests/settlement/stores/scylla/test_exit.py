"""A process that has used ScyllaDB exits without delay."""

import subprocess
import sys

import pytest
from django.conf import settings

from settlement.stores.scylla.connection.access import Access

PROGRAM = """
import atexit, sys, threading

@atexit.register
def tell():  # registered first, and so run last: after the driver and the store have put their things away
    print([thread.name for thread in threading.enumerate()])

import django

django.setup()
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.session import Session

Session(Access(hosts=(sys.argv[1],), port=int(sys.argv[2]))).keyspaces()
from cassandra.io import libevreactor

atexit.unregister(libevreactor._atexit_cleanup)  # which would wait for its thread, or give it up after five seconds
"""


@pytest.mark.processes
@pytest.mark.services("cassandra")
def test_the_drivers_event_loop_has_ended_before_the_driver_would_wait_for_it(scylla_access: Access) -> None:
    arguments = [sys.executable, "-c", PROGRAM, scylla_access.hosts[0], str(scylla_access.port)]
    done = subprocess.run(arguments, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "['MainThread']\n"
