"""Scripts that make the assets nearfield ships; never imported by the framework itself."""
