"""Actions on the exchange that operators ask for, some with a second person's approval.

The web keeps requests; the worker `run_actions`, which alone has the keys, sends them to the engine.

    form ──▶ preview ──▶ request ──approved──▶ worker: checks again ──▶ engine ──▶ answer
"""
