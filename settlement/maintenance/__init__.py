"""For operators: looks at everything that is kept (doctor), and fills a store that lacks blocks (restore)."""
