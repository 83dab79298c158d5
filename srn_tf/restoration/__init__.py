"""Restoring pictures, folders of them and videos."""
