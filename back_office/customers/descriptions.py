"""Name, external id and note of an account's owner: reading them from a form, and keeping them with an audit record."""

from dataclasses import dataclass

from django.db import IntegrityError

from back_office import filters
from back_office.audit import records
from back_office.audit.codes import Action
from back_office.filters import BadFilter, Query
from back_office.models import EXTERNAL_ID_LENGTH, Customer

NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Description:
    """What a form says of a customer; all may be empty."""

    name: str
    external_id: str
    note: str

    @classmethod
    def read(cls, form: Query) -> "Description":
        """Raises BadFilter."""
        name, external_id, note = (
            records.storable(filters.text(form, field)) for field in ("name", "external_id", "note")
        )
        if len(name) > NAME_CHARACTERS:
            raise BadFilter(f"A name can have at most {NAME_CHARACTERS} characters.")
        if len(external_id) > EXTERNAL_ID_LENGTH:
            raise BadFilter(f"An external id can have at most {EXTERNAL_ID_LENGTH} characters.")
        return cls(name, external_id, note)


def of(account: int) -> Customer | None:
    return Customer.objects.filter(account=account).first()


def describe(account: int, description: Description) -> None:
    """Keeps the description together with its audit record. Raises BadFilter if another account has the external id."""
    external_id = description.external_id or None
    fields = {"name": description.name, "external_id": external_id, "note": description.note}
    try:
        with records.together():
            old = Customer.objects.select_for_update().filter(account=account).first()
            before = {name: getattr(old, name) for name in fields} if old else None
            if before == fields:
                return
            Customer.objects.update_or_create(
                account=account, defaults={**fields, "name_key": key_of(description.name)}
            )
            records.append(Action.DESCRIBE, target=f"account:{account}", before=before, after=fields)
    except IntegrityError as error:
        other = Customer.objects.filter(external_id=external_id).first()
        whose = f"account {other.account}" if other else "another account"
        raise BadFilter(f"The external id {external_id} belongs to {whose} already.") from error


def key_of(name: str) -> str:
    """What names are compared by."""
    return name.casefold()[:NAME_CHARACTERS]
