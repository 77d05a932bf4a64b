"""What the retransmission socket serves: readers' requests for blocks and snapshots, settlement's confirmations."""
