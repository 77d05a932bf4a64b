"""Finds customers by external id and by the beginning of the name."""

from back_office.customers.descriptions import NAME_CHARACTERS, key_of
from back_office.models import Customer

LISTED = 20
"""Customers that a search by name lists."""


def find(term: str) -> list[Customer]:
    """The customer with this external id, then those whose name begins with the term."""
    if not term or len(term) > NAME_CHARACTERS:
        return []
    named = Customer.objects.filter(name_key__startswith=key_of(term)).order_by("name_key", "account")
    return list({one.account: one for one in (*with_external_id(term), *named[:LISTED])}.values())


def with_external_id(term: str) -> list[Customer]:
    """At most one."""
    return list(Customer.objects.filter(external_id=term))
