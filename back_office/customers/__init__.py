"""What the office knows of accounts' owners: name, id in another system, note. The engine knows numbers only."""
