"""The Django site around the exchange: settings, checks, health, metrics, supervision."""
