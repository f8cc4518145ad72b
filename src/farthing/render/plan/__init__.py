"""A plan's screens, pages and pictures, and those of profiles and first looks."""
