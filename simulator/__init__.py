"""The exchange in one process, over a network, a disk, a clock and a store that fail as one seed says.

Engines, followers, settlement and clients are the real code: what runs here is what runs in production, from the
sockets' frames inwards. Only what the machine does is simulated.

    scheduler   simulated time; each process is a greenlet, switched where it would wait
    world       machines, processes, and the rates of faults
    network     messages lost, doubled, reordered, delayed, changed; links cut
    disk        writes torn, fsyncs that did not happen before the crash, no room
    stores      time-outs before and after applying, times without a store, rows refused
    cluster     who runs where, who is started again, promoted, started twice
    traffic     clients, and what they were answered
    checks      what has to hold afterwards
    defects     mistakes to plant, each of which has to be found
"""
