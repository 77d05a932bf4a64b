"""What gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application

from exchange_site.startup import set_up

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
set_up(web=True)
application = get_wsgi_application()
