"""Stand-ins for the peers of the appliance: real sockets on loopback, driven by the test."""
