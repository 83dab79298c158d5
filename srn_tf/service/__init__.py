"""Restoring over HTTP: a page and an API in front of the devices of one machine."""
