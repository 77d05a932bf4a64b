"""Pages about settled data. They read through the store interface and never write.

`back_office.urls` adds login, layout and error handling; the data sources are passed in. Each action of an operator
(acknowledge, replay, reconcile) is a method of its own that calls one function; `back_office.urls` accepts only POST
from users with the permission.
"""
