"""An engine process: sequencing, serving, publishing, following, replicating, recovering."""
