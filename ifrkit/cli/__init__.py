"""The command line: parse, resolve inputs, call the stage, present. One command a file; nothing heavy at the top."""
