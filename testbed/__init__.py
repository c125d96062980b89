"""The harness: carries out experiments, measures and shows them. No protocol code is shared."""
