"""The laboratory on a virtual clock: links, network stacks and nodes without a kernel."""
