"""An experiment's folder, identity and life: what every verb begins with."""
