"""From outcomes to policies that are proven to lose no more than allowed."""
