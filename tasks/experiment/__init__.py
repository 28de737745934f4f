"""An experiment's folder, id, configuration and records, which every task uses."""
