"""The REST application: routes, parameters, errors, limits and headers of the HTTP API."""
