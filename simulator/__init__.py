"""Deterministic simulator: the whole exchange in one process, with simulated network, disk, clock and store faults.

Engines, followers, settlement and clients are the production code. Only the machine is simulated: sockets, files, time,
the connection to the store. One seed determines all faults of a run.

    scheduler   simulated time; each process is a greenlet that is switched where it would wait
    world       machines, processes, and the rates of faults
    network     messages lost, duplicated, reordered, delayed, corrupted; links cut
    disk        torn writes, fsyncs lost in a crash, full disks
    stores      timeouts before and after a write was applied, outages, rejected rows
    engines     engine processes and an operator who restarts, promotes and wrongly starts them
    settlement_process
                settlement, restarted whenever it ends
    traffic     clients and the commands that they send
    sessions    connections of clients, and the answers that they received
    trust.keys  the key register, and who has which key
    trust.key_operator
                replaces keys while they are used
    trust.intruders
                send what their keys do not permit
    trust.second_programs
                use the client id of another program by mistake
    checks      invariants that must hold after a run
    trust.forger
                sends the engines confirmations of blocks that are not durable
    trust.forged_blocks
                blocks whose events are not what their commands give
    defects     defects to plant, each of which the checks must find
    run, seeds  one seed from start to checks; many seeds in parallel
"""
