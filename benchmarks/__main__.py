"""Run every benchmark."""

from __future__ import annotations

import sys

from benchmarks import bench_route, bench_sandbox

if __name__ == "__main__":
    bench_sandbox.main()
    sys.exit(bench_route.main())
