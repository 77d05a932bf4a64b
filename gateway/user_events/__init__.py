"""User data: what happens to an account's orders and balances, as events for whoever has subscribed to them."""
