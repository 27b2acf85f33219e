"""Apps that are not quite right."""
