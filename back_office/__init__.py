"""The back office: the web pages of operators."""
