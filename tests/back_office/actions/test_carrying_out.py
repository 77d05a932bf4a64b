"""The worker against a real engine: each request once, after both persons were checked again."""

import time

import pytest
from django.contrib.auth.models import Group, Permission, User
from pytest_django import Settings
from structlog.testing import capture_logs

from back_office.actions import carrying_out, requests
from back_office.actions.engine import RealEngine
from back_office.actions.kinds import Kind
from back_office.models import ActionRequest, AuditRecord
from exchange_site.operations.free_addresses import free_zmq_address
from matching.client.client import Client as EngineClient
from tests.back_office.actions.conftest import HALT, MONEY, Exchange, asked, reread
from tests.back_office.second_factor.conftest import logged_in_with_code
from tests.matching.small_exchange import order

State = ActionRequest.State

pytestmark = pytest.mark.django_db


def approved(fiona: User, anna: User, form: str = "form-1", **changes: str | int) -> ActionRequest:
    made = asked(fiona, Kind.DEPOSIT, {**MONEY, **changes}, form)
    requests.approve(made.pk, anna, "Seen.")
    return made


def test_a_deposit_waits_for_approval_and_is_applied_once(exchange: Exchange, fiona: User, anna: User) -> None:
    made = asked(fiona, Kind.DEPOSIT, MONEY)
    assert carrying_out.turn(exchange.real) == 0
    assert exchange.balance(1) == "10"
    requests.approve(made.pk, anna, "Seen.")
    assert carrying_out.turn(exchange.real) == 1
    assert carrying_out.turn(exchange.real) == 0
    assert exchange.balance(1) == "12.5"
    done = reread(made)
    assert (done.state, done.answer) == (State.DONE, "2.5 BTC were credited to account 1.")
    assert done.command_sequence == 5
    assert done.block_number is not None
    record = AuditRecord.objects.latest("number")
    assert (record.action, record.target, record.outcome) == ("request.carry_out", f"request:{made.pk}", "done")


def test_a_refusal_names_its_reason(exchange: Exchange, fiona: User, anna: User) -> None:
    made = approved(fiona, anna, reference="first")
    carrying_out.turn(exchange.real)
    refused = reread(made)
    assert (refused.state, refused.answer_code) == (State.REJECTED, "duplicate_reference")
    assert refused.answer == "The reference has been used before for this account, so nothing was applied again."
    assert exchange.balance(1) == "10"
    assert AuditRecord.objects.latest("number").outcome == "refused"


def test_an_operator_halts_alone_and_then_cancels_in_vain(exchange: Exchange, oscar: User) -> None:
    exchange.call(order(1, "sell", "100.00"))
    halted = asked(oscar, Kind.INSTRUMENT_STATUS, HALT)
    cancel = asked(oscar, Kind.CANCEL_ORDER, {"order_id": 5, "account": 1, "symbol": "BTC-USD"}, "form-2")
    assert carrying_out.turn(exchange.real) == 2
    assert reread(halted).answer == "BTC-USD is now halted."
    assert reread(cancel).answer == "The instrument is halted, so its orders cannot be cancelled."
    resumed = asked(oscar, Kind.INSTRUMENT_STATUS, {**HALT, "status": "trading"}, "form-3")
    again = asked(oscar, Kind.CANCEL_ORDER, {"order_id": 5, "account": 1, "symbol": "BTC-USD"}, "form-4")
    carrying_out.turn(exchange.real)
    assert reread(resumed).answer == "BTC-USD is now trading."
    assert reread(again).answer == "Order 5 was cancelled; 1 were left of it."


EVERY_OTHER: list[tuple[Kind, dict[str, str | int], str]] = [
    (Kind.CANCEL_ALL, {"account": 1}, "1 order of account 1 cancelled."),
    (Kind.INSTRUMENT_VALUES, {"symbol": "BTC-USD", "maker_fee": 5}, "The values of BTC-USD were changed."),
    (Kind.ACCOUNT_STATUS, {"account": 1, "status": "frozen"}, "Account 1 is now frozen."),
    (
        Kind.ACCOUNT_FEES,
        {"account": 1, "maker_fee": 1, "taker_fee": 2},
        "Account 1 pays 1 ppm as maker and 2 ppm as taker in all instruments.",
    ),
    (Kind.ACCOUNT_FEES, {"account": 1}, "Account 1 has no fees of its own in all instruments any more."),
    (Kind.NEW_ASSET, {"symbol": "ETH", "decimals": 8}, "Asset ETH was added with 8 decimal places."),
    (
        Kind.NEW_INSTRUMENT,
        {
            "symbol": "USD-BTC",
            "base": "USD",
            "quote": "BTC",
            "tick_size": "0.01",
            "lot_size": "0.01",
            "min_quantity": "1",
            "max_quantity": "5",
            "min_notional": "0",
            "maker_fee": 1,
            "taker_fee": 2,
        },
        "Instrument USD-BTC was added.",
    ),
]


@pytest.mark.parametrize(("kind", "parameters", "answer"), EVERY_OTHER)
def test_every_other_kind_is_done_by_one_person(
    exchange: Exchange, oscar: User, kind: Kind, parameters: dict[str, str | int], answer: str
) -> None:
    exchange.call(order(1, "sell", "100.00"))
    made = asked(oscar, kind, parameters)
    carrying_out.turn(exchange.real)
    assert (reread(made).state, reread(made).answer) == (State.DONE, answer)


@pytest.mark.parametrize(("direction", "balance"), [("credit", "12.5"), ("debit", "7.5")])
def test_a_correction_credits_or_debits(
    exchange: Exchange, fiona: User, anna: User, direction: str, balance: str
) -> None:
    made = asked(fiona, Kind.CORRECT, {**MONEY, "direction": direction})
    requests.approve(made.pk, anna, "")
    carrying_out.turn(exchange.real)
    assert reread(made).state == State.DONE
    assert exchange.balance(1) == balance


# --- the checks before sending ------------------------------------------------------------------------------------


def stopped(made: ActionRequest, exchange: Exchange) -> str:
    """The reason for which the worker did not send it."""
    carrying_out.turn(exchange.real)
    now = reread(made)
    assert (now.state, now.sendings) == (State.STOPPED, 0)
    assert exchange.balance(1) == "10"
    return now.answer


def test_a_request_whose_asker_has_lost_the_role_is_not_sent(exchange: Exchange, fiona: User, anna: User) -> None:
    made = approved(fiona, anna)
    fiona.user_permissions.clear()
    assert stopped(made, exchange) == (
        "fiona, who asked for it, is not allowed to any more: the permission back_office.ask_money is missing. "
        "Nothing was sent to the engine."
    )


def test_a_request_whose_approver_has_left_is_not_sent(exchange: Exchange, fiona: User, anna: User) -> None:
    made = approved(fiona, anna)
    anna.is_active = False
    anna.save()
    assert stopped(made, exchange).startswith("anna, who approved it, is not allowed to any more")
    other = approved(fiona, User.objects.create_superuser("bert"), "form-2")
    User.objects.get(username="bert").delete()
    assert stopped(other, exchange).startswith("bert, who approved it, has no account of this name any more")


def test_an_account_that_was_renamed_is_not_the_same_person(exchange: Exchange, fiona: User, anna: User) -> None:
    made = approved(fiona, anna)
    User.objects.filter(pk=anna.pk).update(username="somebody")
    assert "has no account of this name any more" in stopped(made, exchange)


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": '{"account": 1, "amount": "9", "asset": "BTC", "reference": "wire-77"}'},
        {"reason": "another"},
        {"asked_by_key": 99},
        {"needs_approval": False},
    ],
)
def test_a_row_that_was_changed_by_sql_is_not_sent(
    exchange: Exchange, fiona: User, anna: User, change: dict[str, object]
) -> None:
    made = approved(fiona, anna)
    ActionRequest.objects.filter(pk=made.pk).update(**change)
    assert stopped(made, exchange).startswith("The request was changed after it was asked for.")


def test_an_approval_that_the_audit_log_does_not_show_does_not_count(
    exchange: Exchange, fiona: User, anna: User
) -> None:
    made = asked(fiona, Kind.DEPOSIT, MONEY)
    ActionRequest.objects.filter(pk=made.pk).update(
        state=State.APPROVED, decided_by="anna", decided_by_key=anna.pk, decided_record=made.asked_record
    )
    assert stopped(made, exchange).startswith("The audit log does not show")


def test_money_never_moves_by_one_person(exchange: Exchange, anna: User) -> None:
    anna.user_permissions.add(Permission.objects.get(codename="ask_money"))
    made = asked(anna, Kind.DEPOSIT, MONEY)
    ActionRequest.objects.filter(pk=made.pk).update(state=State.APPROVED)
    assert stopped(made, exchange).startswith("The audit log does not show")


def test_what_was_approved_more_than_a_day_ago_is_not_sent(
    exchange: Exchange, fiona: User, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = approved(fiona, anna)
    later_ns = time.time_ns() + 25 * 3600 * 10**9
    monkeypatch.setattr("back_office.actions.checks.time.time_ns", lambda: later_ns)
    assert stopped(made, exchange).startswith("Its last word is more than a day old")


def test_a_role_that_needs_a_second_factor_needs_it_in_both_sessions(
    exchange: Exchange, fiona: User, anna: User, settings: Settings
) -> None:
    """The worker decides by its own setting and the audit log: the web may have another setting."""
    fiona.groups.add(Group.objects.get_or_create(name="finance")[0])
    anna.groups.add(Group.objects.get_or_create(name="approver")[0])
    settings.SECOND_FACTOR_ROLES = ["finance", "approver"]
    by_nobody = approved(fiona, anna)
    assert stopped(by_nobody, exchange) == (
        "fiona asked for it in a session without a second factor, which the role needs: ask again. "
        "Nothing was sent to the engine."
    )
    logged_in_with_code(fiona)
    by_one = approved(fiona, anna, "form-2")
    assert stopped(by_one, exchange).startswith("anna approved it in a session without a second factor")
    logged_in_with_code(anna)
    by_both = approved(fiona, anna, "form-3")
    assert carrying_out.turn(exchange.real) == 1
    assert reread(by_both).state == State.DONE


def test_a_role_that_needs_no_second_factor_needs_none(
    exchange: Exchange, fiona: User, anna: User, settings: Settings
) -> None:
    settings.SECOND_FACTOR_ROLES = ["auditor"]
    approved(fiona, anna)
    assert carrying_out.turn(exchange.real) == 1
    assert exchange.balance(1) == "12.5"


# --- when the engine cannot be asked ------------------------------------------------------------------------------


def test_a_request_waits_for_the_engine(exchange: Exchange, fiona: User, anna: User) -> None:
    made, nobody = approved(fiona, anna), free_zmq_address()
    assert carrying_out.turn(RealEngine(lambda: nobody, timeout_s=0.2)) == 0
    waiting = reread(made)
    assert (waiting.state, waiting.sendings) == (State.CARRYING_OUT, 0)
    assert waiting.problem.startswith("No engine answers at")
    with capture_logs() as logged:
        carrying_out.turn(RealEngine(lambda: nobody, timeout_s=0.2))
    assert logged == [], "the same problem is logged once"
    assert carrying_out.turn(exchange.real) == 1
    assert (reread(made).state, reread(made).problem) == (State.DONE, "")


def test_two_workers_at_once_apply_it_once(exchange: Exchange, fiona: User, anna: User) -> None:
    """The second begins before the first has kept its answer."""
    made = approved(fiona, anna)
    carrying_out.claim(made.pk)
    kept = []
    keep = carrying_out.keep_answer

    def first_the_other(number: int, answer: carrying_out.Answer) -> None:
        kept.append(answer)
        if len(kept) == 1:
            assert carrying_out.carry_out(made.pk, exchange.real)
        keep(number, answer)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(carrying_out, "keep_answer", first_the_other)
        carrying_out.turn(exchange.real)
    assert [answer.state for answer in kept] == [State.DONE, State.DONE]
    assert exchange.balance(1) == "12.5"
    assert AuditRecord.objects.filter(action="request.carry_out").count() == 1


def test_a_number_that_was_used_for_something_else_ends_as_refused(exchange: Exchange, fiona: User, anna: User) -> None:
    made = approved(fiona, anna)
    carrying_out.claim(made.pk)
    with EngineClient(exchange.commands, client_id=reread(made).client_id) as other:
        other.call([{"command": "cancel_all", "account": 1}])
    carrying_out.turn(exchange.real)
    assert (reread(made).state, reread(made).answer_code) == (State.REJECTED, "request_mismatch")
    assert exchange.balance(1) == "10"


def test_after_a_second_sending_a_refusal_leaves_the_result_unknown(
    exchange: Exchange, fiona: User, anna: User
) -> None:
    made = approved(fiona, anna)
    carrying_out.claim(made.pk)
    assert carrying_out.note_sending(made.pk) == ""
    with EngineClient(exchange.commands, client_id=reread(made).client_id) as other:
        other.call([{"command": "cancel_all", "account": 1}])
    carrying_out.turn(exchange.real)
    assert reread(made).state == State.UNKNOWN
    assert AuditRecord.objects.latest("number").outcome == "failed"
