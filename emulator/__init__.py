"""The emulated accelerator: a test double of hardware. Its figures are simulated and say so wherever they appear."""
