"""Files that somebody else wrote: opened only if they are files, and read only as far as they may be."""
