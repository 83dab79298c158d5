"""The commands: flags become a configuration, which goes to one call. Flags live here alone."""
