"""In: a planned run, inside a lab. Out: captures, events, and what the run came to."""
