"""The harness: labs, topologies, experiments, measurement and figures. It knows no protocol."""
