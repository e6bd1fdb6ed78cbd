"""The factory line: drawn parts on a conveyor belt, the network that names them, the demo video."""
