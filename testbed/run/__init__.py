"""In: a planned run and a lab. Out: captures, events and the run's outcome."""
