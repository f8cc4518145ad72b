"""Around the work of a command: its folder, its prices and arrivals, what it leaves, and what it says when it fails."""
