"""How orders are placed, matched, triggered, replaced and cancelled."""
