"""The back office's pages about what was settled. They read through the store contract and never write.

The site puts its frame, its login and its refusals around them; what they read from is handed in. What an operator
does (acknowledge, replay, reconcile) is a method of its own that calls one function; the site lets only POST and only
who has the permission get there.
"""
