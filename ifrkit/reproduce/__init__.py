"""Every table of the IFR paper as a matrix of stage runs (`ifrkit reproduce`)."""
