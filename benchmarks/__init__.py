"""What things cost here, measured: `make bench`, or one of the modules by itself."""
