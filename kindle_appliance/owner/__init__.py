"""What the owner does beside the appliance: commands, diagnosis, installation."""
