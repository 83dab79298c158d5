"""How good a restored picture is, and pages and tables that show it."""
