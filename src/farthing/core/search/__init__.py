"""Which candidates there are, screens, the race, the accuracy gate, and the rate that is kept."""
