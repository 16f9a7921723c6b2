"""The families, one file each. A file defines `FAMILY`; adding a file adds the family."""
