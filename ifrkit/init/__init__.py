"""Where own data begin: which frames to label, and a project directory that `prepare folders` reads."""
