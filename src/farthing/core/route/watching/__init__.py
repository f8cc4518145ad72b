"""What a followed route is watched by."""
