"""All benchmarks, one after the other."""

from __future__ import annotations

import sys

from benchmarks import bench_inference, bench_route, bench_sandbox

if __name__ == "__main__":
    bench_sandbox.main()
    bench_inference.main()
    sys.exit(bench_route.main())
