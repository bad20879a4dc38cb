"""Files to files, of molecules."""
