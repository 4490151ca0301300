"""The command line, `toolkit`."""
