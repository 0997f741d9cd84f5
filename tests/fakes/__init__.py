"""Stand-ins for what the appliance talks to: real sockets on loopback, driven by the test."""
