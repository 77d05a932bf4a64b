"""Input logs: make commands durable before they are answered. The interface is in `base`; implementations beside it."""
