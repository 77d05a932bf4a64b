"""Settings of the theme: colours, style sheets, sidebar."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

from back_office.access import permissions


def _page(title: str, icon: str, name: str, permission: str) -> dict[str, Any]:
    """An entry of the sidebar, shown to users with the permission."""
    link = {"title": title, "icon": icon, "link": reverse_lazy(name)}
    return {**link, "permission": lambda request: request.user.has_perm(permission)}


def plain_sockets_warning(request: HttpRequest) -> list[str] | None:
    """The warning in the header of every page, if sockets are open to every account of the machine."""
    return ["Sockets without keys (PLAIN_SOCKETS)", "danger"] if settings.PLAIN_SOCKETS else None


def without_inline_style(request: HttpRequest) -> dict[str, Any]:
    """Keeps the theme from writing its colours into the page, which the content security policy forbids.

    They are in `colours.css`.
    """
    return {"colors": {}}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Exchange",
    "SITE_HEADER": "Exchange",
    "SITE_SUBHEADER": "Back office",
    "SITE_SYMBOL": "candlestick_chart",
    "SITE_URL": None,
    "ENVIRONMENT": "back_office.navigation.plain_sockets_warning",
    "GLOBAL_CALLBACK": "back_office.navigation.without_inline_style",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("back_office/favicon.svg")}
    ],
    "STYLES": [
        lambda request: static("back_office/colours.css"),
        lambda request: static("back_office/back_office.css"),
    ],
    "SCRIPTS": [lambda request: static("back_office/frame.js")],
    "ACCOUNT": {"navigation": [{"title": "Second factor", "link": reverse_lazy("office:second_factor")}]},
    "SIDEBAR": {
        "show_all_applications": True,
        "navigation": [
            {
                "title": "Exchange",
                "items": [
                    _page("Overview", "monitoring", "office:overview", permissions.BLOCKS),
                    _page("Trades", "swap_horiz", "office:trades", permissions.TRADES),
                    _page("Orders", "list_alt", "office:orders", permissions.ORDERS),
                    _page("Open orders", "pending_actions", "office:open_orders", permissions.ORDERS),
                    _page("Instruments", "tune", "office:instruments", permissions.INSTRUMENTS),
                    _page("Accounts", "account_balance_wallet", "office:accounts", permissions.BALANCES),
                    _page("Analytics", "bar_chart", "office:analytics", permissions.TRADES),
                    _page("API keys", "vpn_key", "office:api_keys", permissions.API_KEYS),
                    _page("Blocks", "deployed_code", "office:blocks", permissions.BLOCKS),
                ],
            },
            {
                "title": "Operations",
                "separator": True,
                "items": [
                    _page("Requests", "fact_check", "office:requests", permissions.REQUESTS),
                    _page("Alarms", "notifications", "office:alarms", permissions.ALARMS),
                    _page("Reconciliation", "balance", "office:reconciliations", permissions.RECONCILIATIONS),
                    _page("Dead letters", "unsubscribe", "office:dead_letters", permissions.DEAD_LETTERS),
                    _page("Audit log", "history", "office:audit_log", permissions.AUDIT_LOG),
                ],
            },
            {
                "title": "Site",
                "separator": True,
                "items": [
                    _page("Users", "person", "admin:auth_user_changelist", "auth.view_user"),
                    _page("Groups", "group", "admin:auth_group_changelist", "auth.view_group"),
                ],
            },
        ],
    },
}
