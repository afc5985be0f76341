"""The engine process: the loop that owns time and sockets."""
