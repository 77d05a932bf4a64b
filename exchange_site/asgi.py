"""For servers that speak ASGI."""

import os

from django.core.asgi import get_asgi_application

from exchange_site.startup import set_up

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
set_up(web=True)
application = get_asgi_application()
