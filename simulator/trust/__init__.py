"""Keys of simulated processes, and people who send what they may not: forgers and intruders."""
