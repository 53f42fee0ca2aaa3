"""The machine and the Python that measurements depend on."""
