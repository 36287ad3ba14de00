"""`python -m ifrkit STAGE` is `ifrkit STAGE`."""

from ifrkit.cli.main import main

main()
