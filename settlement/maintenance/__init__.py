"""For operators: looks at everything that is kept (doctor), fills a store that lacks blocks, backs up and restores."""
