"""Pictures and videos: finding, reading and writing them. No network."""
