"""The parts of `bench_route`: processes, the roles they play, experiments, and how results are shown."""
