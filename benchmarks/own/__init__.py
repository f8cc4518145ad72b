"""Models of many kinds, built from small real data that packages bring, as a new user would have them."""
