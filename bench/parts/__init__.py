"""Code that subjects share: inputs, timing, memory, the table and the description of the machine."""
