"""The machine under the appliance: its network, its name there, systemd and the log."""
