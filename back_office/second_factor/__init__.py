"""The second factor of a login: a code of an authenticator app (TOTP, RFC 6238), or one of ten backup codes."""
