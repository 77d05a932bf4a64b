"""For operators: doctor, backup, restore and quarantine, which examine, save and repair everything that is kept."""
