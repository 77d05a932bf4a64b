"""How fast it is: kernel, pipeline and store, measured against a bare reference in the same run."""
