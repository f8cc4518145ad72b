"""A choice through ``farthing serve``, as users get it: the rate that it keeps, the proof at the rate planned."""
