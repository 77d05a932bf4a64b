"""The back office's pages about what was settled. They read through the store contract and never write.

The site puts its frame, its login and its refusals around them; what they read from is handed in.
"""
