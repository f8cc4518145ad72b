"""The command line: parsing and exit status only."""
