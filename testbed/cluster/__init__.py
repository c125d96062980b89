"""In: planned runs. Out: their lines and folders, carried out by the workers of a Dask cluster."""
