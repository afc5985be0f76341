"""What processes say to each other: structs, codec, sockets, and the numbered step plan."""
