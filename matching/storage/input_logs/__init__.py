"""Where input is kept before it is answered: one contract, `base.InputLog`, and what keeps it."""
