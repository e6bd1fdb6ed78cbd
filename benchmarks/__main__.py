"""Run every benchmark."""

from __future__ import annotations

from benchmarks import bench_inference, bench_sandbox

if __name__ == "__main__":
    bench_sandbox.main()
    bench_inference.main()
