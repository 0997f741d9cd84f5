"""What a Kindle sees: the server, who may ask, the routes, the pages."""
