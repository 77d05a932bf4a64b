"""Makes and revokes API keys, each together with its record: both are there, or neither."""

from back_office.audit import records
from back_office.audit.codes import Action, Outcome
from gateway.keys.encryption import SecretCipher
from gateway.keys.key import KeyType
from gateway.keys.stored_keys import Made, Wanted, make_key, revoke_key, stored_key


def make(wanted: Wanted, cipher: SecretCipher, *, name: str | None = None, reason: str = "") -> Made:
    """`name` as for `make_key`. Raises BadKey, KeyExists, and Django's database errors."""
    with records.together():
        made = make_key(wanted, cipher, name)
        records.append(Action.API_KEY_CREATED, target=_target(made.name), reason=reason, after=_state(wanted, made))
    return made


def revoke(name: str, *, reason: str = "") -> bool:
    """Returns False if the key is revoked already. Raises BadKey if there is none, and Django's database errors."""
    with records.together():
        stored = stored_key(name)
        is_revoked = revoke_key(name)
        records.append(
            Action.API_KEY_REVOKED,
            outcome=Outcome.DONE if is_revoked else Outcome.FAILED,
            target=_target(name),
            reason=reason,
            before={"account": stored.account, "revoked_at": stored.revoked_at},
        )
    return is_revoked


def _target(name: str) -> str:
    return f"api_key:{name}"


def _state(wanted: Wanted, made: Made) -> dict[str, object]:
    """For the audit log: all but the secret."""
    return {
        "account": wanted.account,
        "type": KeyType(made.type).value,
        "permissions": sorted(wanted.permissions),
        "networks": [str(network) for network in wanted.networks],
        "label": wanted.label,
    }
