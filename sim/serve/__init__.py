"""The emulator: the simulated venue behind its venue's wire, for any client of that venue on this machine."""
