"""What the tests share: objects, processes, waits, and looks at the system past the library."""
